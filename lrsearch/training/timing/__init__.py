"""TODO package lrsearch/training/timing."""
