"""The portfolio that lrsearch comes with, in the order in which it is trained.

Optimizer, learning rate, schedule and order are what benchmarks/portfolio/derive.py finds in runs
that were recorded for it on seventeen small tasks; benchmarks/README.md has the figures. The other
fields were the same in all those runs: torch's defaults for AdamW and RMSprop; momentum and weight
decay of Wide ResNets (Zagoruyko & Komodakis 2016) for SGD; AlgoPerf's warm-up of 5 % (Dahl et al.
2023); the strong weight decay that transformers are trained with (Brown et al. 2020).
"""

from lrsearch.plain_data import Fields
from lrsearch.space.portfolio.entries import Entry

#: Warm-up before a schedule that has none of its own.
WARMUP = 0.05
STRONG_DECAY = 0.1
#: What SGD's rates are for; in the recorded runs they did better growing with it than fixed.
BATCH_SIZE = 64


def _adamw(lr: float, weight_decay: float = 0.01) -> Fields:
    return {"name": "adamw", "lr": lr, "weight_decay": weight_decay}


def _sgd(lr: float) -> Fields:
    return {"name": "sgd", "lr": lr, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}


def _rmsprop(lr: float) -> Fields:
    return {"name": "rmsprop", "lr": lr, "alpha": 0.99, "momentum": 0.0}


#: Optimizer and schedule.
_ORDER = (
    (_adamw(1e-2, STRONG_DECAY), "one_cycle"),
    (_rmsprop(3e-2), "one_cycle"),
    (_sgd(0.03), "wsd"),
    (_adamw(3e-2), "wsd"),
    (_adamw(3e-3, STRONG_DECAY), "one_cycle"),
    (_rmsprop(1e-2), "one_cycle"),
    (_adamw(0.1), "one_cycle"),
    (_sgd(0.1), "wsd"),
    (_sgd(0.01), "cosine"),
    (_rmsprop(3e-3), "one_cycle"),
    (_sgd(0.3), "wsd"),
    (_adamw(3e-2), "one_cycle"),
)
DEFAULT = tuple(
    Entry(
        optimizer=optimizer,
        schedule={"name": schedule},
        warmup=0.0 if schedule == "one_cycle" else WARMUP,
        batch_size=BATCH_SIZE if optimizer["name"] == "sgd" else None,
        source=f"benchmarks/portfolio/derive.py, place {place}",
    )
    for place, (optimizer, schedule) in enumerate(_ORDER, start=1)
)
