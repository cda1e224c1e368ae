"""What the pictures of a report draw, as plain series."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.catalog.lookup import schedule_info
from lrsearch.report.model import Report
from lrsearch.report.plots import lr_sequences
from lrsearch.report.rows import Trial
from lrsearch.report.shown import shown_trials
from lrsearch.spec.trial_value import objective_value
from lrsearch.storage.records import CurveRecord


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """A trial in the order of their starts, and the best complete value until then."""

    #: Its number, from 0.
    trial: int
    state: str
    #: Of a complete trial alone: what a pruned one had reached is no result.
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
    #: Of a complete trial alone.
    value: float | None
    best: bool
    #: Whether it is the winner that fresh seeds confirmed.
    confirmed: bool


def history(report: Report) -> History:
    """Every trial, and the best so far."""
    points: list[HistoryPoint] = []
    best: float | None = None
    for trial in report.trials:
        value = trial.value if trial.is_scored else None
        if value is not None and (best is None or report.spec.objective.better(value, best)):
            best = value
        if trial.number is not None:
            points.append(
                HistoryPoint(trial=trial.number, state=trial.state, value=value, best=best)
            )
    return History(
        metric=report.metric,
        direction=report.spec.objective.direction,
        points=tuple(points),
        baseline=None if report.baseline is None else report.baseline.value,
    )


def curves(report: Report) -> tuple[Curve, ...]:
    """Of the trials that are drawn one by one."""
    return tuple(_curve(report, trial) for trial in shown_trials(report))


def _curve(report: Report, trial: Trial) -> Curve:
    assert trial.number is not None
    rows = report.curves.get(trial.id, ())
    return Curve(
        trial=trial.number,
        label=trial.label,
        best=trial is report.best,
        confirmed=_is_winner(report, trial),
        baseline=trial.kind == "baseline",
        epochs=tuple(row.epoch for row in rows),
        values=tuple(objective_value(row, report.spec) for row in rows),
    )


def _is_winner(report: Report, trial: Trial) -> bool:
    return report.winner is not None and report.winner.trial == trial.number


def sequences(report: Report) -> tuple[lr_sequences.Sequence, ...]:
    """Learning rates of the same trials; none of a command, whose script decides them."""
    if report.spec.program == "command":
        return tuple(
            lr_sequences.recorded_sequence(trial.number or 0, []) for trial in shown_trials(report)
        )
    steps = report.study.steps_per_epoch
    return tuple(
        _sequence(trial, report.curves.get(trial.id, ()), steps) for trial in shown_trials(report)
    )


def _sequence(
    trial: Trial, rows: Sequence[CurveRecord], steps_per_epoch: int
) -> lr_sequences.Sequence:
    assert trial.number is not None
    assert trial.parsed is not None
    info = schedule_info(trial.parsed.schedule_name, "schedule")
    if info.needs_metric or info.unseen:
        return lr_sequences.recorded_sequence(trial.number, [(row.epoch, row.lr) for row in rows])
    if rows and rows[-1].epoch > 0:  # a batch size of its own makes epochs of another length
        steps_per_epoch = max(1, round(rows[-1].step / rows[-1].epoch))
    return lr_sequences.lr_sequence(trial.number, trial.parsed, steps_per_epoch)


def lr_points(report: Report) -> tuple[LrPoint, ...]:
    """Every trial that has ended."""
    return tuple(
        LrPoint(
            trial=trial.number,
            optimizer=trial.parsed.optimizer_name,
            lr=trial.parsed.lr,
            state=trial.state,
            value=trial.value if trial.is_scored else None,
            best=trial is report.best,
            confirmed=_is_winner(report, trial),
        )
        for trial in report.trials
        if trial.number is not None and trial.parsed is not None and trial.has_ended
    )
