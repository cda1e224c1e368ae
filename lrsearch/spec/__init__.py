"""TODO package lrsearch/spec."""
