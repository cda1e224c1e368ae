"""TODO package lrsearch/recipe."""
