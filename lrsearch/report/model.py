"""The plain tables of a report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrsearch.range_test.analysis import RangeTest
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.lr_sequences import Sequence
from lrsearch.spec.study_spec import StudySpec


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One started trial."""

    #: None until its worker has sampled a recipe.
    trial: int | None
    ticket: int
    #: sampled | baseline | enqueued | warm_start | textbook
    kind: str
    state: str
    #: The objective at its best validation; None for diverged, failed and running.
    value: float | None
    metrics: Mapping[str, float | None]
    reason: str | None
    epochs: float
    seconds: float
    attempts: int
    recipe: Recipe | None

    def label(self) -> str:
        """`17: sgd lr 0.05 · cosine`: short enough for a legend."""
        if self.recipe is None:
            return f"{self.trial}"
        optimizer = self.recipe.optimizer
        words = f"{optimizer['name']} lr {optimizer['lr']:.3g} · {self.recipe.schedule['name']}"
        return f"{self.trial}: {words}"


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """What fresh seeds say of one recipe."""

    trial: int
    #: winner | rival | baseline
    role: str
    mean: float
    #: 95 % interval of the mean; None for a single run.
    ci95: tuple[float, float] | None
    n: int
    #: Whether the seeds do not tell it and the recommended one apart; of that, anyone and it.
    tied: bool
    #: Runs that gave no value.
    failed: int
    values: tuple[float, ...]
    #: Of the values; empty where they were not kept.
    seeds: tuple[int, ...]
    metrics: Mapping[str, float]
    recipe: Recipe
    #: Wilcoxon's p beside the recommended one; None for it and for few seeds.
    p: float | None
    #: What else is to be said of the recommended one.
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """A trial in the order of tickets, and the best complete value until then."""

    ticket: int
    trial: int | None
    state: str
    value: float | None
    best: float | None


@dataclass(frozen=True, kw_only=True)
class History:
    metric: str
    direction: str
    points: tuple[HistoryPoint, ...]
    #: The baseline's value on the search's seed.
    baseline: float | None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The objective of one trial at its validations; gaps where it was not finite."""

    trial: int
    label: str
    #: Whether it is the search's best.
    best: bool
    #: Whether it is the winner that fresh seeds confirmed.
    confirmed: bool
    baseline: bool
    epochs: tuple[float, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class LrPoint:
    """Peak learning rate and value of one trial."""

    trial: int
    optimizer: str
    lr: float
    state: str
    value: float | None
    best: bool
    #: Whether it is the winner that fresh seeds confirmed.
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class RangeRow:
    """The LR range test of one optimizer."""

    optimizer: str
    #: waiting | running | complete | failed
    state: str
    #: Why it gave no window.
    reason: str | None
    result: RangeTest | None


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """What workers on a device trained with."""

    device: str
    #: `fused, 8 trials at once: 1.9x over one by one`
    title: str


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What was spent, by part (range_test, search, audit, confirm), against the plan."""

    epochs: Mapping[str, float]
    #: Epochs at most; a part is absent where nothing bounds it.
    planned: Mapping[str, float]
    seconds: Mapping[str, float]
    trials_used: int
    trials_total: int | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a report says."""

    name: str
    spec: StudySpec
    #: open | paused | stopped
    state: str
    counts: Mapping[str, int]
    cost: Cost
    #: The search's best complete trial.
    best: TrialRow | None
    baseline: TrialRow | None
    #: The recommended first; empty until confirmed.
    confirmed: tuple[Confirmed, ...]
    #: By ticket.
    trials: tuple[TrialRow, ...]
    #: Complete trials, the best first.
    ranked: tuple[TrialRow, ...]
    history: History
    curves: tuple[Curve, ...]
    sequences: tuple[Sequence, ...]
    lr_points: tuple[LrPoint, ...]
    #: In the order of the space; empty if the study has none.
    range_tests: tuple[RangeRow, ...]
    #: In the order in which they were chosen.
    engines: tuple[EngineRow, ...]
    #: How often pruning erred, and what more trials would bring; see `review`.
    audit: Mapping[str, Any]
    advice: Mapping[str, Any]
    #: Package to version, at the study's creation.
    versions: Mapping[str, str]

    def winner(self) -> Confirmed | None:
        """The recommended one."""
        return self.confirmed[0] if self.confirmed else None

    def confirmed_baseline(self) -> Confirmed | None:
        return next((entry for entry in self.confirmed if entry.role == "baseline"), None)
