"""The search space: what may be sampled, in which units; presets; the portfolio.

It may import `recipe`, `catalog`, `trial`, `user_input`, `errors` and `plain_data`.
"""
