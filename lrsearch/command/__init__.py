"""A training script that is a command: its arguments from a recipe, its metrics from its output.

No module here imports torch, Optuna or a database.
"""
