"""The marks of value against learning rate, as plain values."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil

from lrsearch.advice.lr_basin import Basin
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.basins import LrPanel
from lrsearch.report.figures.data.lr_trials import LrTrial
from lrsearch.report.text.format import learning_rate, number
from lrsearch.spec.parts import Objective
from lrsearch.trial.states import TrialState

#: The axis of values ends here, as a quantile of them: a few very bad ones would hide the rest.
WORST = 0.9
#: The axis of learning rates goes on by this factor.
MARGIN = 1.2
#: Room beyond the best value, as a share of the axis.
ROOM = 0.06


@dataclass(frozen=True, kw_only=True)
class Point:
    """A trial as it is drawn."""

    trial: int
    optimizer: str
    schedule: str
    state: str
    lr: float
    x: float
    y: float
    #: Whether its value is worse than the axis reaches.
    beyond: bool
    #: What its mark says.
    value: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A learning rate, or a stretch of them at a level, and what it is."""

    x: float
    x2: float | None = None
    y: float | None = None
    what: str


@dataclass(frozen=True, kw_only=True)
class Band:
    """The curve at a learning rate."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The values that are drawn where they are: from the better to the worse edge.

    Trials without a value, and those with a worse one, stand at the worse edge.
    """

    better: float
    worse: float
    #: Where the axis ends: beyond the worse edge, so that marks at it are whole.
    end: float
    #: Whether any trial has a value.
    known: bool = True
    #: Whether equal factors are equally far apart.
    logarithmic: bool = False

    def reaches(self, value: float) -> bool:
        """Whether a value is no worse than the worse edge."""
        return value <= self.worse if self.better < self.worse else value >= self.worse

    def place(self, value: float | None) -> float:
        """Where a trial stands."""
        return value if value is not None and self.reaches(value) else self.worse


def axis_of(panels: Sequence[LrPanel], objective: Objective) -> Axis:
    """One axis for all panels; from 0 to 1 where no trial has a value."""
    losses = sorted(
        objective.loss(trial.value)
        for panel in panels
        for trial in panel.trials
        if trial.value is not None
    )
    if not losses:
        return Axis(better=0.0, worse=1.0, end=1.0 + ROOM, known=False)
    best, worst = losses[0], losses[ceil(WORST * (len(losses) - 1))]
    worst = worst if worst > best else best + (abs(best) or 1.0)
    if best > 0 and worst > looks.LOG_FACTOR * best and objective.direction == "minimize":
        room = (worst / best) ** ROOM
        end = worst * room**2
        return Axis(better=best / room, worse=worst * room, end=end, logarithmic=True)
    room = ROOM * (worst - best)
    better, worse, end = (
        objective.loss(loss) for loss in (best - room, worst + 2 * room, worst + 3 * room)
    )
    return Axis(better=better, worse=worse, end=end)


def points_of(
    panel: LrPanel, axis: Axis, most: int, always: Collection[int | None] = ()
) -> list[Point]:
    """Its trials, at most so many, half of them complete if there are as many.

    Those with the numbers `always` are among them.
    """
    named = [trial for trial in panel.trials if trial.trial in always]
    rest = [trial for trial in panel.trials if trial.trial not in always]
    complete = [trial for trial in rest if trial.state == TrialState.COMPLETE]
    others = [trial for trial in rest if trial.state != TrialState.COMPLETE]
    most -= len(named)
    first = looks.thinned(complete, max(most // 2, most - len(others)))
    kept = [*looks.thinned(others, most - len(first)), *first, *named]
    return [
        Point(
            trial=trial.trial,
            optimizer=trial.optimizer,
            schedule=trial.schedule,
            state=trial.state,
            lr=trial.lr,
            x=trial.at,
            y=axis.place(trial.value),
            beyond=trial.value is not None and not axis.reaches(trial.value),
            value=_value(trial),
            note=_note(trial),
        )
        for trial in kept
    ]


def _value(trial: LrTrial) -> str:
    if trial.value is None:
        return "no value"
    guessed = trial.state == TrialState.PRUNED
    return f"about {number(trial.value, 2)} expected" if guessed else number(trial.value)


def _note(trial: LrTrial) -> str:
    if trial.state == TrialState.COMPLETE:
        return "trained to its end"
    at = f"{trial.state} at {100 * trial.progress:.0f} % of the run"
    standing = trial.standing
    if standing is None or not standing.complete:
        return at
    return f"{at}; {standing.better} of {standing.complete} complete trials were better there"


def ends_of(panel: LrPanel) -> tuple[float, float]:
    """Where the axis of learning rates ends, so that trials and the searched range are on it."""
    every = [*(trial.at for trial in panel.trials), *(edge.at for edge in panel.edges)]
    return min(every) / MARGIN, max(every) * MARGIN


def bands_of(basin: Basin | None, objective: Objective) -> list[Band]:
    if basin is None:
        return []
    loss = objective.loss
    return [
        Band(x=point.lr, y=loss(point.loss), low=loss(point.low), high=loss(point.high))
        for point in basin.curve
    ]


def widths_of(basin: Basin | None, objective: Objective) -> list[Line]:
    """The stretches of at most 1 % and 5 % more loss, at that level."""
    if basin is None:
        return []
    lowest = min(point.loss for point in basin.curve)
    return [
        Line(
            x=safe.low,
            x2=safe.high,
            y=objective.loss(lowest + safe.worse * abs(lowest)),
            what=f"at most {100 * safe.worse:.0f} % worse: {learning_rate(safe.low)} to "
            f"{learning_rate(safe.high)}, {_decades(safe.decades.value)} decades "
            f"({_decades(safe.decades.low)} to {_decades(safe.decades.high)})",
        )
        for safe in basin.safe
    ]


def _decades(value: float) -> str:
    return f"{value:.2f}"
