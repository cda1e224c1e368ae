"""What the duel's methods train, and who judges it: one task, one horizon, one loop for all."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from lrsearch import Recipe, StudySpec
from lrsearch.task.find import load_task
from lrsearch.training.start import start_training, steps_per_epoch
from lrsearch.training.task_cache import TaskCache

#: Seeds that judge, the same for every recipe, far above those of studies and re-runs.
JUDGES = range(100_000, 100_005)
#: Optimizers, schedules and ranges as people write them: lr ranges of Optuna's own PyTorch
#: examples and of Crowded Valley (Schmidt et al. 2021), weight decay on a log scale, the five
#: schedules of torch that its tutorials show.
PLAIN_SPACE: dict[str, Any] = {
    "optimizers": {
        "sgd": {
            "lr": {"low": 1e-4, "high": 1.0, "log": True},
            "momentum": {"low": 0.8, "high": 0.99},
            "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        },
        "adamw": {
            "lr": {"low": 1e-5, "high": 1e-1, "log": True},
            "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
        },
    },
    "schedules": {
        "constant": {},
        "step": {"step_size": {"low": 0.1, "high": 0.5}, "gamma": [0.1, 0.3, 0.5]},
        "cosine": {},
        "one_cycle": {"pct_start": {"low": 0.1, "high": 0.4}},
        "exponential": {"final": {"low": 1e-3, "high": 0.3, "log": True}},
    },
    "warmup": 0.0,
}
#: Says after each validation (1-based, raw validation loss) whether the run goes on.
Watch = Callable[[int, float], bool]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run, to its end or not."""

    #: Lowest raw validation loss; of a run that diverged, its first training loss.
    value: float
    #: Of the best validation.
    metrics: Mapping[str, float]
    epochs: float
    #: Whether it trained to the horizon.
    complete: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judges' seeds say of a recipe."""

    values: tuple[float, ...]
    #: Means over the seeds that did not diverge.
    metrics: Mapping[str, float]


def _always(validation: int, loss: float) -> bool:
    return True


@dataclass
class Problem:
    """A task with a horizon; trains recipes on one CPU thread and remembers re-runs."""

    #: FILE.py:attribute.
    reference: str
    #: Horizon of a trial.
    epochs: int
    _reruns: dict[str, Run] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path, _, attribute = self.reference.rpartition(":")
        self.loaded = load_task(f"{Path(path).name}:{attribute}", Path(path).parent)
        self.cache = TaskCache(self.loaded, torch.device("cpu"))
        self.task = self.cache.task({})
        any_recipe = Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 1})
        self.steps_per_epoch = steps_per_epoch(self.cache.splits(any_recipe)[1][0], 1)

    def spec(self, **fields: Any) -> StudySpec:
        """A study of the task; what is not among `fields` is lrsearch's default."""
        content = {"task": self.loaded.reference, "epochs": self.epochs, "name": "duel", **fields}
        return StudySpec.from_dict(content, where="duel")

    def plain_spec(self, seed: int) -> StudySpec:
        """How the other methods train: no averaged weights, no rungs, validation each epoch."""
        fields = {"space": PLAIN_SPACE, "ema": "none", "pruning": "none", "seed": seed}
        return self.spec(budget={"trials": 1}, **fields)

    def train(self, spec: StudySpec, recipe: Mapping[str, Any], watch: Watch = _always) -> Run:
        """Train a recipe with the loop of a study's worker, validated as `spec` says."""
        training = start_training(spec, Recipe.from_dict(recipe), self.cache)
        best, metrics, goes_on = math.inf, {}, True
        while goes_on and not training.done:
            training.advance(training.next_validation)
            if training.is_due:
                row = training.validate(with_ema=False)
                loss = row.val_loss_ema if training.recipe.weights == "ema" else row.val_loss
                if loss is not None and loss < best:
                    best, metrics = loss, row.metrics
                goes_on = watch(row.validation, row.val_loss)
        if training.diverged is not None:
            watch(training.validated + 1, math.nan)
        return Run(
            value=best if training.diverged is None else training.start_loss,
            metrics=metrics if training.diverged is None else {},
            epochs=training.epochs,
            complete=training.done and training.diverged is None,
        )

    def rerun(self, recipe: Mapping[str, Any], seed: int) -> Run:
        """The recipe with another seed, to its end, validated each epoch; trained once."""
        averaged = recipe["weights"] == "ema"
        again = {**recipe, "seed": seed, "ema": recipe["ema"] if averaged else None}
        key = json.dumps(again, sort_keys=True)
        if key not in self._reruns:
            self._reruns[key] = self.train(self.plain_spec(seed), again)
        return self._reruns[key]

    def judge(self, recipe: Mapping[str, Any]) -> Verdict:
        """The recipe on each of the judges' seeds."""
        runs = [self.rerun(recipe, seed) for seed in JUDGES]
        scored = [run.metrics for run in runs if run.metrics]
        return Verdict(
            values=tuple(run.value for run in runs),
            metrics={name: fmean(m[name] for m in scored) for name in (scored or [{}])[0]},
        )
