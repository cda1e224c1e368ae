"""TODO package lrsearch/task."""
