"""What the figures of a comparison draw, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.report.comparison.comparison import Comparison
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.basins import LrPanel
from lrsearch.report.figures.lr_marks import Axis, axis_of
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A run with a fresh seed, a mean with its interval, or a difference with its interval."""

    study: str
    value: float
    seed: int | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class RatePoint:
    """A trial that has ended, at its peak learning rate. The page filters by its names."""

    study: str
    number: int
    optimizer: str
    schedule: str
    state: str
    #: In torch's units, and where it is drawn.
    lr: float
    x: float
    #: Where it is drawn: without a value at the worse edge.
    y: float
    #: Of a pruned trial what it would typically have reached; None of a diverged one.
    value: float | None


@dataclass(frozen=True, kw_only=True)
class RateCurve:
    """A study's fitted curve at one learning rate, where enough complete trials tell."""

    study: str
    optimizer: str
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RatePanel:
    """One optimizer in the studies that have it, in one unit of learning rates."""

    optimizer: str
    #: Whether learning rates are those at momentum 0.9 and 64 samples a step.
    equivalent: bool
    points: tuple[RatePoint, ...]
    curves: tuple[RateCurve, ...]
    #: The lowest and the highest learning rate.
    ends: tuple[float, float]
    #: Trials that are not among the points, as there are too many.
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """The best value after so many epochs of a search."""

    study: str
    epochs: float
    best: float
    #: That has it.
    number: int


def runs(found: Comparison) -> list[Dot]:
    return [
        Dot(study=entry.label, value=value, seed=seed)
        for entry in found.entries
        for seed, value in entry.fresh.items()
    ]


def means(found: Comparison) -> list[Dot]:
    dots = []
    for entry in found.entries:
        winner = entry.report.winner
        if winner is not None:
            low, high = winner.ci95 or (None, None)
            dots.append(Dot(study=entry.label, value=winner.mean, n=winner.n, low=low, high=high))
    return dots


def differences(found: Comparison) -> list[Dot]:
    """How much better than the first study, where fresh seeds tell."""
    dots = []
    for each in found.compared:
        if each.seeds == "fresh" and each.value is not None:
            low, high = each.ci95 or (None, None)
            dots.append(Dot(study=each.of, value=each.value, low=low, high=high))
    return dots


def value_axis(found: Comparison) -> Axis:
    """One axis of values for all panels of all studies."""
    return axis_of([panel for entry in found.entries for panel in entry.panels], found.objective)


def rate_panels(found: Comparison, worse: float) -> tuple[RatePanel, ...]:
    """A panel for each optimizer and unit; trials without a value stand at `worse`."""
    mine = [(entry, panel) for entry in found.entries for panel in entry.panels]
    keys = dict.fromkeys((panel.optimizer, panel.equivalent) for _, panel in mine)
    panels = []
    for name, equivalent in keys:
        same = [(e, p) for e, p in mine if (p.optimizer, p.equivalent) == (name, equivalent)]
        panels.append(_rate_panel(found, same, worse, looks.MOST_POINTS // len(keys)))
    return tuple(panels)


def _rate_panel(
    found: Comparison, same: Sequence[tuple[Entry, LrPanel]], worse: float, most: int
) -> RatePanel:
    points = [point for entry, panel in same for point in _points(entry, panel, worse)]
    kept = looks.thinned(points, most)
    every = [trial.at for _, panel in same for trial in panel.trials]
    return RatePanel(
        optimizer=same[0][1].optimizer,
        equivalent=same[0][1].equivalent,
        points=tuple(kept),
        curves=tuple(curve for entry, panel in same for curve in _curve(found, entry, panel)),
        ends=(min(every), max(every)),
        left_out=len(points) - len(kept),
    )


def _points(entry: Entry, panel: LrPanel, worse: float) -> list[RatePoint]:
    """Complete, pruned and diverged trials; of pruned ones those whose end can be guessed."""
    drawn = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.DIVERGED)
    return [
        RatePoint(
            study=entry.label,
            number=trial.trial,
            optimizer=trial.optimizer,
            schedule=trial.schedule,
            state=trial.state,
            lr=trial.lr,
            x=trial.at,
            y=worse if trial.value is None else trial.value,
            value=trial.value,
        )
        for trial in panel.trials
        if trial.state in drawn and (trial.value is not None or trial.state != TrialState.PRUNED)
    ]


def _curve(found: Comparison, entry: Entry, panel: LrPanel) -> list[RateCurve]:
    if panel.basin is None or not panel.is_sure:
        return []
    loss = found.objective.loss
    return [
        RateCurve(
            study=entry.label,
            optimizer=panel.optimizer,
            x=point.lr,
            y=loss(point.loss),
            low=loss(point.low),
            high=loss(point.high),
        )
        for point in panel.basin.curve
    ]


def progress(found: Comparison) -> list[Step]:
    """Where each search got better, and its end; epochs of trials in the order of their ends."""
    return [step for entry in found.entries for step in _progress(entry)]


def _progress(entry: Entry) -> list[Step]:
    ended = [trial for trial in entry.report.trials if trial.has_ended]
    ended.sort(key=lambda trial: (trial.ended is None, trial.ended or 0, trial.ticket))
    spent, steps = 0.0, list[Step]()
    for trial in ended:
        spent += trial.epochs
        if not trial.is_scored or trial.value is None or trial.number is None:
            continue
        best = steps[-1].best if steps else None
        if best is None or entry.report.spec.objective.better(trial.value, best):
            steps.append(
                Step(study=entry.label, epochs=spent, best=trial.value, number=trial.number)
            )
    if steps:
        last = steps[-1]
        steps.append(Step(study=last.study, epochs=spent, best=last.best, number=last.number))
    return steps
