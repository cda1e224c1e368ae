"""The recipes that are recorded on every training task, each under a name that says it.

Three kinds: the grid that a portfolio is chosen from, textbook recipes, and draws of the default
space. The latter two are only compared with.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lrsearch.space.parse import parse_space

#: Peak learning rates in torch's units, half a decade apart.
RATES: Mapping[str, Sequence[float]] = {
    "adamw": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "sgd": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
    "rmsprop": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
#: What else the optimizers have: torch's default decay for AdamW; momentum and decay of Wide
#: ResNets (Zagoruyko & Komodakis 2016) for SGD; torch's defaults for RMSprop.
OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    "adamw": {"weight_decay": 0.01},
    "sgd": {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "rmsprop": {"alpha": 0.99, "momentum": 0.0},
}
#: Schedules that end at zero, with the warm-up before them: AlgoPerf's 5 % where one is taken.
SCHEDULES: Mapping[str, tuple[Mapping[str, Any], float]] = {
    "one_cycle": ({"name": "one_cycle"}, 0.0),
    "linear": ({"name": "linear"}, 0.05),
    "cosine": ({"name": "cosine"}, 0.05),
    "wsd": ({"name": "wsd"}, 0.05),
}
#: Which schedules an optimizer is recorded with: RMSprop costs time and is seldom best.
TAKEN = {"adamw": tuple(SCHEDULES), "sgd": tuple(SCHEDULES), "rmsprop": ("one_cycle", "linear")}
#: Rates that are seldom good are recorded with two schedules.
RARE = {("adamw", 3e-4), ("adamw", 1e-1), ("sgd", 1e-3), ("sgd", 1.0)}
#: Stronger decay, as transformers are trained with (Brown et al. 2020).
STRONG_DECAY, STRONG_DECAY_RATES = 0.1, (1e-3, 3e-3, 1e-2)
#: After a name of SGD's: the rate is for this batch size, and follows that of a task.
AT, BATCH_SIZE = " at 64", 64
#: How many draws of the default space.
DRAWS = 16


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A recipe under its name."""

    name: str
    kind: str
    fields: Mapping[str, Any]


def entries(batch_size: int) -> list[Entry]:
    """All that is recorded on a task with this batch size."""
    return [*grid(), *textbook(batch_size), *draws(batch_size)]


def grid() -> Iterator[Entry]:
    for optimizer, rates in RATES.items():
        for rate in rates:
            some = ("one_cycle", "linear") if (optimizer, rate) in RARE else TAKEN[optimizer]
            for schedule in some:
                yield _entry(optimizer, rate, schedule)
    for rate in STRONG_DECAY_RATES:
        yield _entry("adamw", rate, "one_cycle", weight_decay=STRONG_DECAY)


def _entry(optimizer: str, rate: float, schedule: str, **changed: Any) -> Entry:
    shape, warmup = SCHEDULES[schedule]
    other = "".join(f" {key} {value:g}" for key, value in changed.items())
    return Entry(
        name=f"{optimizer} {rate:g} {schedule}{other}",
        kind="grid",
        fields={
            "optimizer": {"name": optimizer, "lr": rate, **OPTIMIZERS[optimizer], **changed},
            "schedule": dict(shape),
            "warmup": warmup,
        },
    )


@cache
def neighbour(name: str, by: int) -> str | None:
    """The grid's entry whose rate lies `by` half decades above; None beyond the grid.

    Where none has the same schedule and decay, that of the schedule alone, else the linear one.
    """
    suffix = AT if name.endswith(AT) else ""
    optimizer, rate, schedule, *rest = name.removesuffix(AT).split(" ", 3)
    rates = [f"{rate:g}" for rate in RATES[optimizer]]
    place = rates.index(rate) + by
    if not 0 <= place < len(rates):
        return None
    there, start = {entry.name for entry in grid()}, f"{optimizer} {rates[place]}"
    wanted = (" ".join([start, schedule, *rest]), f"{start} {schedule}", f"{start} linear")
    return next(name for name in wanted if name in there) + suffix


@cache
def candidates() -> tuple[str, ...]:
    """Names of what a portfolio may hold: the grid, but SGD's rates follow the batch size."""
    return tuple(e.name + (AT if e.name.startswith("sgd ") else "") for e in grid())


@cache
def siblings(name: str) -> tuple[str, ...]:
    """The candidates that differ from this one in the schedule, or in it and the decay, alone."""
    suffix = AT if name.endswith(AT) else ""
    optimizer, rate, *_ = name.split(" ")
    alike = (f"{optimizer} {rate} {schedule}{suffix}" for schedule in SCHEDULES)
    return tuple(other for other in alike if other != name and other in candidates())


def meant(name: str, batch_size: int) -> str | None:
    """The entry that was recorded for a candidate, to half a decade; None beyond the grid."""
    if not name.endswith(AT):
        return name
    return neighbour(name.removesuffix(AT), round(2 * math.log10(batch_size / BATCH_SIZE)))


def textbook(batch_size: int) -> Iterator[Entry]:
    """The three recipes that a study trained first before there was a portfolio.

    SGD as Wide ResNets are trained, its rate that of their batch of 128; AdamW with torch's rate.
    """
    sgd = {"name": "sgd", "lr": 0.1 * batch_size / 128, **OPTIMIZERS["sgd"]}
    adamw = {"name": "adamw", "lr": 1e-3, **OPTIMIZERS["adamw"]}
    for number, (optimizer, schedule) in enumerate(
        ((sgd, "cosine"), (adamw, "cosine"), (adamw, "one_cycle"))
    ):
        shape, warmup = SCHEDULES[schedule]
        fields = {"optimizer": optimizer, "schedule": dict(shape), "warmup": warmup}
        yield Entry(name=f"textbook {number}", kind="textbook", fields=fields)


def draws(batch_size: int) -> Iterator[Entry]:
    """The same draws for every task, but for rates that follow the batch size."""
    space = parse_space("default")
    for number in range(DRAWS):
        recipe = space.suggest(_Draw(random.Random(number)), lambda params: batch_size)
        fields = {key: recipe[key] for key in ("optimizer", "schedule", "warmup")}
        yield Entry(name=f"draw {number}", kind="draw", fields=fields)


@dataclass(frozen=True)
class _Draw:
    """A trial that answers with independent draws."""

    random: random.Random

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        assert step is None
        if log:
            return math.exp(self.random.uniform(math.log(low), math.log(high)))
        return self.random.uniform(low, high)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return self.random.randrange(low, high + 1, step)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices)
