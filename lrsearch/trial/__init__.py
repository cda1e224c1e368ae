"""TODO package lrsearch/trial."""
