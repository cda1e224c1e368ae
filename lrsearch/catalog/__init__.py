"""TODO package lrsearch/catalog."""
