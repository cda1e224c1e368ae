"""What the duel's methods train, and who judges it: one task, one horizon, one loop for all."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import torch

from lrsearch import Recipe, StudySpec
from lrsearch.task.find import load_task
from lrsearch.training.engine import Engine, SoloEngine
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.start import steps_per_epoch
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training import Training
from lrsearch.trial.curve import Validation

#: Seeds that judge, the same for every recipe, far above those of studies and re-runs.
JUDGES = range(100_000, 100_008)
#: So many runs are trained as one program unless a task says otherwise: one for each judge.
TOGETHER = len(JUDGES)
#: More steps than any training here has.
TO_THE_END = 1_000_000_000
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


class Source(Protocol):
    """Gives recipes one after another: the next when it has seen how the last one ended."""

    def next_recipe(self) -> Mapping[str, Any] | None:
        """None when there is no more."""
        ...

    def goes_on(self, validation: int, loss: float) -> bool:
        """Asked after each validation (1-based, raw validation loss; NaN of a diverged run)."""
        ...

    def ended(self, run: Run) -> None: ...


@dataclass
class OneRun:
    """One recipe, trained to its end."""

    recipe: Mapping[str, Any]
    run: Run | None = None
    _is_given: bool = False

    def next_recipe(self) -> Mapping[str, Any] | None:
        given, self._is_given = self._is_given, True
        return None if given else self.recipe

    def goes_on(self, validation: int, loss: float) -> bool:
        return True

    def ended(self, run: Run) -> None:
        self.run = run


@dataclass
class _Place:
    """A recipe in training."""

    source: Source
    training: Training
    best: float = math.inf
    metrics: Mapping[str, float] = field(default_factory=dict)
    goes_on: bool = True

    def take(self, row: Validation) -> None:
        averaged = self.training.recipe.weights == "ema"
        loss = row.val_loss_ema if averaged else row.val_loss
        if loss is not None and loss < self.best:
            self.best, self.metrics = loss, row.metrics
        self.goes_on = self.source.goes_on(row.validation, row.val_loss)

    @property
    def has_ended(self) -> bool:
        return self.training.done or not self.goes_on

    def end(self) -> None:
        training = self.training
        if training.diverged is not None:
            self.source.goes_on(training.validated + 1, math.nan)
        self.source.ended(
            Run(
                value=self.best if training.diverged is None else training.start_loss,
                metrics=self.metrics if training.diverged is None else {},
                epochs=training.epochs,
                complete=training.done and training.diverged is None,
            )
        )


def train(engine: Engine, sources: Sequence[Source]) -> None:
    """Train all that the sources give with the loop of a study's worker.

    A source has one recipe in training at a time; the engine's places are filled again as runs end.
    """
    waiting, places = list(sources), list[_Place]()
    while True:
        while waiting and engine.may_join():
            source = waiting.pop(0)
            if (recipe := source.next_recipe()) is not None:
                training = engine.admit(Recipe.from_dict(recipe))
                places.append(_Place(source=source, training=training))
        if not places:
            return
        engine.advance(TO_THE_END)
        if due := engine.due():
            rows = engine.validate(due, with_ema=lambda training: False)
            row_of = {id(t): row for t, row in zip(due, rows, strict=True)}
            for place in places:
                if id(place.training) in row_of:
                    place.take(row_of[id(place.training)])
        for place in [place for place in places if place.has_ended]:
            engine.drop(place.training)
            places.remove(place)
            place.end()
            waiting.append(place.source)


@dataclass
class Problem:
    """A task with a horizon; trains recipes on one CPU thread and remembers what it trained."""

    #: FILE.py:attribute.
    reference: str
    #: Horizon of a trial.
    epochs: int
    #: How many runs are trained as one program; 1 trains one by one.
    together: int = TOGETHER
    #: What studies have found, by what they do.
    studies: dict[str, Any] = field(default_factory=dict)
    _runs: dict[str, Run] = field(default_factory=dict)
    _verdicts: dict[str, Verdict] = field(default_factory=dict)

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

    def train(self, sources: Sequence[Source], like: Mapping[str, Any]) -> None:
        """Train all that the sources give, validated each epoch.

        Their recipes differ from `like` in optimizer, schedule and seed alone. Many are one program
        of a fixed size, so that a run's numbers do not depend on who else is in training.
        """
        spec, recipe = self.plain_spec(0), Recipe.from_dict(like)
        engine: Engine = SoloEngine(spec, self.cache)
        if self.together > 1:
            cohort = Cohort(spec, self.cache, recipe, self.together)
            # In lock-step all have one seed, and none begins after the others.
            engine = engine if cohort.lock_step else cohort
        train(engine, sources)

    def reruns(self, recipe: Mapping[str, Any], seeds: Sequence[int]) -> list[Run]:
        """The recipe with each of these seeds, to its end, validated each epoch; trained once."""
        averaged = recipe["weights"] == "ema"
        again = {**recipe, "ema": recipe["ema"] if averaged else None}
        of_seed = {seed: {**again, "seed": seed} for seed in seeds}
        keys = {seed: json.dumps(fields, sort_keys=True) for seed, fields in of_seed.items()}
        missing = {s: OneRun(of_seed[s]) for s in seeds if keys[s] not in self._runs}
        if missing:
            self.train(list(missing.values()), again)
        for seed, source in missing.items():
            assert source.run is not None
            self._runs[keys[seed]] = source.run
        return [self._runs[keys[seed]] for seed in seeds]

    def judge(self, recipe: Mapping[str, Any]) -> Verdict:
        """The recipe on each of the judges' seeds; once, whoever recommends it."""
        key = _but_for_seed(recipe)
        if key not in self._verdicts:
            runs = self.reruns(recipe, JUDGES)
            scored = [run.metrics for run in runs if run.metrics]
            self._verdicts[key] = Verdict(
                values=tuple(run.value for run in runs),
                metrics={name: fmean(m[name] for m in scored) for name in (scored or [{}])[0]},
            )
        return self._verdicts[key]

    def remember(self, recipe: Mapping[str, Any], verdict: Verdict) -> None:
        """What was judged before, of which a record is kept."""
        self._verdicts[_but_for_seed(recipe)] = verdict


def _but_for_seed(recipe: Mapping[str, Any]) -> str:
    return json.dumps({**recipe, "seed": None}, sort_keys=True)
