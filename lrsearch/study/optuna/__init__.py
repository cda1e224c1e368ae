"""TODO package lrsearch/study/optuna."""
