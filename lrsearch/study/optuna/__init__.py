"""Optuna: its tables, its samplers, and a recipe as its parameters.

The only package that imports Optuna. It may import what `study` may.
"""

import warnings

import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
