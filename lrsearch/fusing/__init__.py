"""TODO package lrsearch/fusing."""
