"""Hydra finds its plugins in this namespace: `hydra/sweeper=lrsearch`."""
