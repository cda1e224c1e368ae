"""The LR range test as pure rules: what is tested, and from losses to a window of learning rates.

It may import `confirmation`, `spec` and below, never `storage`, torch or Optuna.
"""
