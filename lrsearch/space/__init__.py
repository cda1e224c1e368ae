"""The search space: what may be sampled, in which units; presets and textbook recipes.

It may import `recipe`, `catalog`, `user_input` and `errors`.
"""
