"""TODO package lrsearch/confirmation."""
