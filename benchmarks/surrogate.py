"""Recorded digits runs as a function: what a recipe would have given, without training it.

A forest of randomised trees, fitted on 2,000 recorded runs of 27 epochs (SGD and AdamW with ten
schedules), tells for any recipe of the recorded space the losses at the rungs and at the best
epoch, and how likely it diverges.
"""

import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold

from lrsearch.catalog.domains import Choice, Domain, Fixed, Range
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.space.search_space import SearchSpace

#: Epochs of a recorded run, and those at which it passes a rung (4, 11 and 33 %).
EPOCHS, RUNGS = 27, (1, 3, 9)
#: A loss above it is as bad as any other: guessing gives 2.3.
WORST = 10.0
#: The targets, all as logarithms but the last: raw and averaged loss at each rung, the best raw
#: loss of the run, whether it diverges.
TARGETS = 2 * len(RUNGS) + 2

#: Recorded fields to the recipe's: those of the schedule are fractions and factors already.
FIELDS: dict[str, dict[str, str]] = {
    "constant": {},
    "step": {"step_frac": "step_size", "gamma": "gamma"},
    "multistep": {"m1": "milestones", "gamma": "gamma"},
    "exponential": {"final": "final"},
    "cosine": {"final": "eta_min"},
    "one_cycle": {"warm": "pct_start", "div": "div_factor"},
    "linear": {"warm": "warmup"},
    "wsd": {"warm": "warmup", "decay": "decay"},
    "plateau": {"factor": "factor", "pat_frac": "patience"},
    "cyclic": {"cycles": "step_size_up", "low": "base_factor"},
}
_COLUMNS = [f"{name}.{key}" for name, fields in FIELDS.items() for key in fields.values()]


def recorded_space() -> SearchSpace:
    """The space that the runs were drawn from."""
    schedules: dict[str, dict[str, Domain]] = {
        "constant": {},
        "step": {"step_size": Range(low=0.1, high=0.5), "gamma": Range(low=0.1, high=0.8)},
        "multistep": {
            "milestones": Choice(
                choices=tuple((m, (1 + m) / 2) for m in (0.3, 0.4, 0.5, 0.6, 0.7))
            ),
            "gamma": Range(low=0.05, high=0.5, log=True),
        },
        "exponential": {"final": Range(low=1e-3, high=0.5, log=True)},
        "cosine": {"eta_min": Range(low=1e-4, high=0.1, log=True)},
        "one_cycle": {
            "pct_start": Range(low=0.05, high=0.5),
            "div_factor": Range(low=5.0, high=50.0, log=True),
            "final_div_factor": Fixed(value=1e4),
            "cycle_momentum": Fixed(value=False),
        },
        "linear": {"end_factor": Fixed(value=0.0)},
        "wsd": {"decay": Range(low=0.1, high=0.6)},
        "plateau": {
            "factor": Range(low=0.1, high=0.7, log=True),
            "patience": Range(low=0.03, high=0.2),
        },
        "cyclic": {
            "step_size_up": Range(low=1 / 12, high=1 / 4, log=True),
            "base_factor": Range(low=1e-2, high=0.4, log=True),
            "mode": Fixed(value="triangular2"),
        },
    }
    return SearchSpace(
        optimizers={
            "sgd": {
                "lr": Range(low=1e-4, high=3.0, log=True, unit="momentum_equivalent", in_unit=True),
                "momentum": Range(low=1e-2, high=1.0, log=True, unit="complement", in_unit=True),
                "weight_decay": Range(low=1e-6, high=1e-2, log=True),
            },
            "adamw": {
                "lr": Range(low=1e-5, high=0.1, log=True),
                "beta1": Range(low=1e-2, high=0.3, log=True, unit="complement", in_unit=True),
                "beta2": Fixed(value=0.99),
                "weight_decay": Range(low=1e-4, high=1.0, log=True),
            },
        },
        schedules=schedules,
        warmup=Choice(choices=(0.0, 0.05)),
        params={},
    )


def _row(
    optimizer: str, lr: float, rest: float, decay: float, fields: Mapping[str, float]
) -> list[float]:
    """Features of a run; `rest` is 1 - momentum. A field of another schedule is -1."""
    is_sgd = optimizer == "sgd"
    equivalent = lr * 0.1 / rest if is_sgd else lr
    numbers = [float(is_sgd), *(math.log(max(x, 1e-8)) for x in (lr, equivalent, rest, decay))]
    return numbers + [fields.get(column, -1.0) for column in _COLUMNS]


def _schedule_number(name: str) -> list[float]:
    return [float(name == other) for other in FIELDS]


def _recorded_features(config: Mapping[str, Any]) -> list[float]:
    name = {"onecycle": "one_cycle"}.get(config["sched"], config["sched"])
    fields = {f"{name}.{mine}": config[theirs] for theirs, mine in FIELDS[name].items()}
    if name == "cyclic":
        fields["cyclic.step_size_up"] = 1 / (2 * config["cycles"])
    numbers = _row(config["opt"], config["lr"], config["one_minus_mom"], config["wd"], fields)
    return numbers + _schedule_number(name)


def _recipe_features(recipe: Mapping[str, Any]) -> list[float]:
    optimizer, schedule = recipe["optimizer"], recipe["schedule"]
    name = schedule["name"]
    values = {**SCHEDULES[name].defaults, **schedule, "warmup": recipe["warmup"]}
    if name == "multistep":
        values["milestones"] = values["milestones"][0]
    fields = {f"{name}.{key}": float(values[key]) for key in FIELDS[name].values()}
    momentum = optimizer["betas"][0] if "betas" in optimizer else optimizer.get("momentum", 0.0)
    numbers = _row(
        optimizer["name"], optimizer["lr"], 1 - momentum, optimizer["weight_decay"], fields
    )
    return numbers + _schedule_number(name)


def _targets(curves: Mapping[str, Sequence[float | None]]) -> list[float]:
    def log(value: float | None) -> float:
        return math.log(WORST if value is None else min(value, WORST))

    raw, ema = curves["val_loss"], curves["val_loss_ema"]
    at_rungs = [log(curve[epoch - 1]) for epoch in RUNGS for curve in (raw, ema)]
    diverged = None in raw
    best = WORST if diverged else min(value for value in raw if value is not None)
    return [*at_rungs, log(best), float(diverged)]


def read_runs(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features and targets, one row per recorded run."""
    with gzip.open(path, "rt") as file:
        runs = [json.loads(line) for line in file]
    features = np.array([_recorded_features(run["config"]) for run in runs], dtype=np.float32)
    return features, np.array([_targets(run["curves"]) for run in runs])


class Surrogate:
    """The fitted forest."""

    def __init__(self, features: np.ndarray, targets: np.ndarray, *, trees: int) -> None:
        self.forest = _forest(trees).fit(features, targets)

    def predict(self, recipes: Iterable[Mapping[str, Any]]) -> np.ndarray:
        """[recipes, TARGETS]: what each recipe gives, without noise."""
        features = np.array([_recipe_features(recipe) for recipe in recipes], dtype=np.float32)
        # Not forest.predict: for a single row its checks take ten times as long as its trees.
        values = [tree.tree_.predict(features)[:, :, 0] for tree in self.forest.estimators_]
        return np.mean(values, axis=0)


def _forest(trees: int) -> ExtraTreesRegressor:
    return ExtraTreesRegressor(trees, min_samples_leaf=2, max_features=0.7, random_state=0)


def cross_validated(features: np.ndarray, targets: np.ndarray, *, trees: int) -> float:
    """Spearman correlation of the best loss with the forest's, on runs that it has not seen."""
    found = np.empty(len(targets))
    for train, test in KFold(5, shuffle=True, random_state=0).split(features):
        forest = _forest(trees).fit(features[train], targets[train])
        found[test] = forest.predict(features[test])[:, 2 * len(RUNGS)]
    return float(spearmanr(found, targets[:, 2 * len(RUNGS)]).statistic)
