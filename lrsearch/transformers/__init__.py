"""Hugging Face Trainer: `attach` lets its `train` train a recipe and report to its study.

It may import `own_loop` and below, and `transformers`, which the extra of that name installs. Torch
is imported.
"""

from lrsearch.transformers.attach import attach

__all__ = ["attach"]
