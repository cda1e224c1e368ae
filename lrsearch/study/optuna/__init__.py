"""Optuna: its tables, its samplers, and a recipe as its parameters.

The only package that imports Optuna. It may import what `study` may.
"""

import warnings

with warnings.catch_warnings():
    # tqdm, which Optuna imports, in a notebook without ipywidgets: nothing here draws by it.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
