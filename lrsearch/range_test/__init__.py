"""TODO package lrsearch/range_test."""
