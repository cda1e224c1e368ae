"""TODO package lrsearch/training/fused."""
