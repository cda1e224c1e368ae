"""TODO package lrsearch/report/plots."""
