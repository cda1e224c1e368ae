"""The study file as a frozen value.

It may import `space`, `recipe`, `catalog`, `trial`, `user_input`, `errors` and `plain_data`.
"""
