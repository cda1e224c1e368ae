"""What `study.optuna.private` does, through Optuna's public API alone: slower, with any Optuna.

It may import what `study.optuna` may; only `gate` imports it.
"""
