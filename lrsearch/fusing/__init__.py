"""Whether trials are trained together as one program, as pure rules over measured times.

It may import `spec` and below, never `storage`, torch or Optuna.
"""
