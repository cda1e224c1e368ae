"""TODO package lrsearch/space."""
