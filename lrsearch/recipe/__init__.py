"""A recipe, and the real torch optimizer and scheduler that it builds.

Torch is imported inside functions, or in the modules `build_*.py` and those that they use. It may
import `catalog`, `trial`, `user_input`, `errors` and `plain_data`.
"""
