"""Which optimizer with which schedule? A table of what the best of equally many trials reaches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import altair as alt

from lrsearch.report.answer.rankings import LEAST_TRIALS, optimizer_ranking
from lrsearch.report.colours import GREY
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.best_of import Group, by_optimizer, by_pair
from lrsearch.report.figures.figure import LEAST_WIDTH, OPTIMIZER, Figure
from lrsearch.report.figures.looks import data
from lrsearch.report.model import Report
from lrsearch.report.text.format import EMPTY, counted, number
from lrsearch.report.text.rankings import ranking_sentences
from lrsearch.spec.parts import Objective
from lrsearch.trial.states import TrialState

#: The column of an optimizer's trials with whichever schedule.
ANY = "any schedule"
#: Height of a row of the table, in pixels.
ROW_HEIGHT = 52
#: A narrower column would write its cells over each other: pixels.
CELL_WIDTH = 116
#: From the worst cell to the best one, and of one without a value. Text on dark is white.
LIGHT, DARK, UNKNOWN = "#dcebf5", "#00507d", "#f2f2f2"
COLUMN, VALUE, INTERVAL, COUNT = "column", "value", "interval", "count"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A pair as it is drawn."""

    optimizer: str
    #: The schedule, or ANY.
    column: str
    #: None: of all schedules.
    schedule: str | None
    #: From 0, the worst pair, to 1, the best one, in equal steps: a few very bad pairs would else
    #: make all others look alike. None where too few trials tell.
    rank: float | None
    #: Whether light text is read better on it.
    dark: bool
    value: str
    interval: str
    count: str


def cells_of(groups: Sequence[Group], objective: Objective) -> list[Cell]:
    """Every group that has a trial, with its place between the best and the worst of its kind."""
    cells = []
    for kind in (True, False):
        mine = [group for group in groups if (group.schedule is None) is kind]
        losses = sorted(objective.loss(g.expected.value) for g in mine if g.expected)
        cells += [_cell(group, losses, objective) for group in mine]
    return cells


def _cell(group: Group, losses: list[float], objective: Objective) -> Cell:
    found, rank = group.expected, None
    if found is not None:
        place = losses.index(objective.loss(found.value))
        rank = 1 - place / max(1, len(losses) - 1)
    return Cell(
        optimizer=looks.short_name(group.optimizer),
        column=group.schedule or ANY,
        schedule=group.schedule,
        rank=rank,
        dark=rank is not None and rank > 0.55,
        value=EMPTY if found is None else number(found.value, 3),
        interval=_interval(group),
        count=f"n {group.trials}, {group.complete} complete",
    )


def _interval(group: Group) -> str:
    found = group.expected
    if found is None:
        return "too few"
    if group.trials < LEAST_TRIALS:
        return "no interval"
    return f"{number(found.low, 3)} to {number(found.high, 3)}"


def figure(report: Report) -> Figure | None:
    """None unless two pairs can be compared."""
    compared = by_pair(report)
    told = [group for group in compared.groups if group.expected is not None]
    if len(told) < 2:
        return None
    objective, k = report.spec.objective, compared.k
    answer = ranking_sentences(optimizer_ranking(report), report.metric)
    optimizers = by_optimizer(report).groups if _crossed(compared.groups) else ()
    if optimizers or not answer:
        answer = " ".join(filter(None, [answer, _best_pair(told, k, objective)]))
    return Figure(
        name="optimizers_by_schedules",
        title="Which optimizer with which schedule?",
        caption=" ".join([answer, *_explained(report, k, several=bool(optimizers))]),
        alt=f"Table of optimizers and schedules, {counted(len(told), 'pair')} with a value. "
        f"{answer}",
        chart=chart(cells_of([*optimizers, *compared.groups], objective)),
    )


def _crossed(groups: Sequence[Group]) -> bool:
    """Whether there are several optimizers, and one of them has several schedules."""
    optimizers = {group.optimizer for group in groups}
    return 1 < len(optimizers) < len(groups)


def _explained(report: Report, k: int, *, several: bool) -> Iterator[str]:
    """What a cell holds."""
    yield (
        f"A cell is the {report.metric} that the best of {k} of its trials is expected to reach, "
        f"so that many trials are no advantage, with its 95 % interval by a bootstrap; n is the "
        f"number of its trials."
    )
    states = {trial.state for trial in report.lr_trials}
    if TrialState.PRUNED in states:
        yield "A pruned trial counts with what it would typically have reached."
    if TrialState.DIVERGED in states:
        yield "A diverged trial counts as the worst of its cell."
    if several:
        yield "The first column has all trials of an optimizer."
        yield "Darker is better, in it and in the rest."
    else:
        yield "Darker is better."
    yield "All are trials of the search, on its one seed."


def _best_pair(groups: Sequence[Group], k: int, objective: Objective) -> str:
    """The pair that is ahead, and how many its interval meets."""
    ranked = sorted(
        ((g, g.expected) for g in groups if g.expected and g.trials >= LEAST_TRIALS),
        key=lambda item: objective.loss(item[1].value),
    )
    if len(ranked) < 2:
        return f"Fewer than two pairs have {max(k, LEAST_TRIALS)} trials: no pair is called better."
    (first, found), others = ranked[0], ranked[1:]
    limit = max(objective.loss(found.low), objective.loss(found.high))
    near = sum(
        min(objective.loss(each.low), objective.loss(each.high)) <= limit for _, each in others
    )
    return (
        f"Among pairs, {looks.short_name(first.optimizer)} with {first.schedule} is ahead with "
        f"{number(found.value, 3)}. {_near(near, len(others))}"
    )


def _near(near: int, others: int) -> str:
    """How many of the other pairs may be as good."""
    of = f"{near} of the {others} other pairs" if others > 1 else "The other pair"
    if near:
        return f"{of} may be as good: the intervals overlap."
    every = "other pairs are all" if others > 1 else "other pair is"
    return f"The {every} worse: no interval overlaps with its."


def chart(cells: list[Cell]) -> looks.Layers:
    """A row for each optimizer, a column for each schedule."""
    rows = len({cell.optimizer for cell in cells})
    order = list(dict.fromkeys(cell.optimizer for cell in cells))
    columns = list(dict.fromkeys(cell.column for cell in cells))
    base = alt.Chart(data(cells)).encode(
        x=alt.X(COLUMN, type="nominal", sort=columns, title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y(OPTIMIZER, type="nominal", sort=order, title=None),
        tooltip=looks.tips(OPTIMIZER, COLUMN, VALUE, INTERVAL, COUNT),
    )
    scale = alt.Scale(domain=[0, 1], range=[LIGHT, DARK])
    colour = alt.Color("rank", type="quantitative", scale=scale, legend=None)
    paper = base.mark_rect(color=UNKNOWN, stroke=GREY, strokeWidth=0.5)
    boxes = base.mark_rect(stroke=GREY, strokeWidth=0.5).encode(color=colour)
    ink = alt.condition("datum.dark", alt.value("#ffffff"), alt.value("#1a1a1a"))
    texts = [
        base.mark_text(dy=dy, fontSize=size).encode(text=alt.Text(field, type="nominal"), color=ink)
        for field, dy, size in ((VALUE, -14, 15), (INTERVAL, 2, 10), (COUNT, 16, 10))
    ]
    least = {LEAST_WIDTH: CELL_WIDTH * len(columns)}
    return alt.layer(paper, boxes, *texts).properties(height=ROW_HEIGHT * rows, usermeta=least)
