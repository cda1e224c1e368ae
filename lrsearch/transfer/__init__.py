"""The best learning rate of a long run from short ones, as pure functions of numpy.

It may import `spec` and below, never `storage`, torch or Optuna.
"""
