"""A training script that is a command: its arguments from a recipe, its metrics from its output.

It may import errors, plain_data and user_input, neither torch, Optuna nor a database.
"""
