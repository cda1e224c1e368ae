"""TODO package lrsearch/worker."""
