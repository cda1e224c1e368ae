"""Confirmation as pure rules: which recipes are re-run with fresh seeds, and what that says.

It may import `spec` and below, never `storage`, torch or Optuna.
"""
