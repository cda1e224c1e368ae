"""The study file as a frozen value.

It may import `recipe`, `space`, `trial`, `catalog`, `user_input` and `errors`.
"""
