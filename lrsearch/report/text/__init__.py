"""TODO package lrsearch/report/text."""
