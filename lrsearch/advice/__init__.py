"""TODO package lrsearch/advice."""
