"""A training script that is a command: its arguments from a recipe, its metrics from its output."""
