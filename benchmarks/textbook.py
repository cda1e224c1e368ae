"""Textbook recipes: what studies trained first before they had a portfolio.

[WRN] Wide residual networks (Zagoruyko & Komodakis 2016): SGD with Nesterov momentum; their rate is
0.1 at batch 128, this one at 64. AdamW has torch's defaults. Warm-up as in AlgoPerf (Dahl et al.
2023).
"""

from lrsearch.space.portfolio.entries import Entry

_SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
_ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.01}
TEXTBOOK = (
    Entry(optimizer=_SGD, schedule={"name": "cosine"}, warmup=0.05, batch_size=64, source="[WRN]"),
    Entry(optimizer=_ADAMW, schedule={"name": "cosine"}, warmup=0.05, source="torch"),
    Entry(optimizer=_ADAMW, schedule={"name": "one_cycle"}, source="torch"),
)
