"""Training one trial with real torch optimizers and schedulers; the only part that runs models."""
