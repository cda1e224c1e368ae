"""Optuna's private parts, for speed; `gate` says whether they are as they are known here.

Nothing else in lrsearch names a private part of Optuna. It may import what `study.optuna` may;
only `gate` imports it. `study.optuna.public` does the same through Optuna's public API.
"""
