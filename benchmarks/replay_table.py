"""Recorded runs as a replay uses them: what a rung sees, what a pruner is told, the outcome.

Lower is better, whatever was recorded.
"""

import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lrsearch.trial import pruning

#: What a run is worth, and what is watched, if nobody says.
TARGET = "val_error"
#: What the name of a curve of averaged weights adds to that of the raw ones.
TWIN = "_ema"

Curve = Sequence[float | None]


class TableError(ValueError):
    """A file that cannot be replayed, or not by these names."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A recorded run; its curves have one value an epoch, from the first on."""

    family: str
    #: Epochs of the whole run.
    horizon: int
    #: What rungs compare: the better of raw and averaged weights.
    signal: tuple[float, ...]
    #: The same of raw weights alone, which a plain user reports.
    raw: tuple[float, ...]
    #: Epochs until it ends by itself: its horizon, or the one in which it diverged.
    epochs: int
    #: The target at its end; infinite if it diverged.
    value: float
    #: Epochs before its learning rate begins to fall; 0 where nothing is known of it.
    falls: int = 0

    @property
    def diverged(self) -> bool:
        return math.isinf(self.value)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Recorded runs, and by which names they were read."""

    runs: Sequence[Run]
    signal: str
    target: str
    #: Whether averaged weights were recorded for the signal.
    has_twin: bool

    @cached_property
    def mean_horizon(self) -> float:
        """Epochs that a budget of 1x stands for."""
        return sum(run.horizon for run in self.runs) / len(self.runs)

    @cached_property
    def finals(self) -> list[float]:
        """Values of the runs that did not diverge, rising."""
        return sorted(run.value for run in self.runs if not run.diverged)


def read_table(path: Path, *, signal: str = "auto", target: str = "auto") -> Table:
    """The runs of a file of gzipped JSON lines. Raises TableError for what cannot be replayed.

    `auto` as target: val_error, or else the one quantity recorded; as signal: the target's.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
    except (OSError, ValueError, EOFError) as error:
        raise TableError(f"--data {path}: {error}; gzipped JSON lines are needed") from error
    if not rows:
        raise TableError(f"--data {path}: no runs")
    names = set.intersection(*(set(row["curves"]) for row in rows))
    target = _target(names) if target == "auto" else target
    signal = target if signal == "auto" else signal
    for option, name in (("--target", target), ("--signal", signal)):
        if name not in names:
            raise TableError(f"{option} {name}: recorded is {', '.join(sorted(names))}")
    runs = [make_run(row, signal, target) for row in rows]
    if all(run.diverged for run in runs):
        raise TableError(f"--data {path}: no run has a final {target}")
    return Table(runs=runs, signal=signal, target=target, has_twin=signal + TWIN in names)


def _target(names: set[str]) -> str:
    if TARGET in names:
        return TARGET
    quantities = sorted(names - {name + TWIN for name in names})
    if len(quantities) != 1:
        raise TableError(f"--target auto: recorded is {', '.join(quantities)}; name one")
    return quantities[0]


def make_run(row: Mapping[str, Any], signal: str, target: str) -> Run:
    """A recorded row as a run; it ends where either curve has no number any more."""
    curves: Mapping[str, Curve] = row["curves"]
    raw, averaged, outcome = curves[signal], curves.get(signal + TWIN), curves[target]
    epochs = next(
        (epoch for epoch, pair in enumerate(zip(raw, outcome, strict=True), 1) if None in pair),
        None,
    )
    return Run(
        family=row["family"],
        horizon=len(outcome),
        signal=tuple(map(_watched, raw, averaged or [None] * len(raw))),
        raw=tuple(_number(value) for value in raw),
        epochs=epochs or len(outcome),
        value=math.inf if epochs else _number(outcome[-1]),
        falls=_falls(row, len(outcome)),
    )


def _falls(row: Mapping[str, Any], horizon: int) -> int:
    """Epochs before the learning rate begins to fall, as far as the recipe tells; not the last."""
    recipe: Mapping[str, float] = row.get("config", {})
    share = recipe.get("warm", 0.0)
    if "lr_peak_epoch" in recipe:
        share = recipe["lr_peak_epoch"] / horizon
    elif "warmup_steps" in recipe:
        share = recipe["warmup_steps"] / recipe["total_model_steps"]
    elif row["family"] == "wsd":
        share = 1 - recipe["decay"]
    return min(round(share * horizon), horizon - 1)


def _watched(raw: float | None, averaged: float | None) -> float:
    return pruning.signal(_number(raw), averaged)


def _number(value: float | None) -> float:
    return math.inf if value is None else value
