"""Advice as pure functions: what a study costs, what looks like a mistake, what more would bring.

It may import `range_test`, `confirmation`, `spec` and below, never `storage`, torch or Optuna.
"""
