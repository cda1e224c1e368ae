"""Which optimizer with which schedule? A table of what the best of equally many trials reaches."""

from dataclasses import dataclass

import altair as alt

from lrsearch.report.colours import GREY
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.best_of import Compared, Group, by_pair
from lrsearch.report.figures.figure import LEAST_WIDTH, OPTIMIZER, SCHEDULE, Figure
from lrsearch.report.figures.looks import data
from lrsearch.report.model import Report
from lrsearch.report.text.format import EMPTY, counted, number
from lrsearch.spec.parts import Objective

#: Cells of fewer trials have no interval: a bootstrap of so few says nothing.
LEAST_TRIALS = 4
#: Height of a row of the table, in pixels.
ROW_HEIGHT = 52
#: A narrower column would write its cells over each other: pixels.
CELL_WIDTH = 116
#: From the worst cell to the best one, and of one without a value. Text on dark is white.
LIGHT, DARK, UNKNOWN = "#dcebf5", "#00507d", "#f2f2f2"
VALUE, INTERVAL, COUNT = "value", "interval", "count"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A pair as it is drawn."""

    optimizer: str
    schedule: str
    #: From 0, the worst pair, to 1, the best one, in equal steps: a few very bad pairs would else
    #: make all others look alike. None where too few trials tell.
    rank: float | None
    #: Whether light text is read better on it.
    dark: bool
    value: str
    interval: str
    count: str


def cells_of(compared: Compared, objective: Objective) -> list[Cell]:
    """Every pair that has a trial, with its place between the best and the worst."""
    losses = sorted(objective.loss(g.expected.value) for g in compared.groups if g.expected)
    return [_cell(group, losses, objective) for group in compared.groups]


def _cell(group: Group, losses: list[float], objective: Objective) -> Cell:
    found, rank = group.expected, None
    if found is not None:
        place = losses.index(objective.loss(found.value))
        rank = 1 - place / max(1, len(losses) - 1)
    return Cell(
        optimizer=looks.short_name(group.optimizer),
        schedule=group.schedule or "",
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
    objective = report.spec.objective
    answer = _answer(told, compared.k, objective)
    return Figure(
        name="optimizers_by_schedules",
        title="Which optimizer with which schedule?",
        caption=(
            f"{answer} A cell is the {report.metric} that the best of {compared.k} of its trials "
            "is expected to reach, so that many trials are no advantage, with the 95 % interval "
            "of a bootstrap; n is the number of its trials. A pruned trial counts with what it "
            "would typically have reached, a diverged one as the worst of its cell. Darker is "
            "better."
        ),
        alt=f"Table of optimizers and schedules, {counted(len(told), 'cell')} with a value. "
        f"{answer}",
        chart=chart(cells_of(compared, objective)),
    )


def _answer(groups: list[Group], k: int, objective: Objective) -> str:
    """The best pair, and those whose intervals reach it."""
    ranked = sorted(
        ((g, g.expected) for g in groups if g.expected and g.trials >= LEAST_TRIALS),
        key=lambda item: objective.loss(item[1].value),
    )
    if not ranked:
        return f"No pair has {LEAST_TRIALS} trials, so that none can be called better."
    (first, found), others = ranked[0], ranked[1:]
    limit = max(objective.loss(found.low), objective.loss(found.high))
    near = sum(
        min(objective.loss(each.low), objective.loss(each.high)) <= limit for _, each in others
    )
    name = f"{looks.short_name(first.optimizer)} with {first.schedule}"
    said = f"The best of {k} trials is best with {name}: {number(found.value, 3)}."
    if not others:
        return f"{said} No other pair has {LEAST_TRIALS} trials, so that none can be called worse."
    return (
        f"{said} The intervals of {near} of the {counted(len(others), 'other pair')} with "
        f"{LEAST_TRIALS} trials or more overlap with its interval."
    )


def chart(cells: list[Cell]) -> looks.Layers:
    """A row for each optimizer, a column for each schedule."""
    rows = len({cell.optimizer for cell in cells})
    order = list(dict.fromkeys(cell.optimizer for cell in cells))
    columns = list(dict.fromkeys(cell.schedule for cell in cells))
    base = alt.Chart(data(cells)).encode(
        x=alt.X(SCHEDULE, type="nominal", sort=columns, title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y(OPTIMIZER, type="nominal", sort=order, title=None),
        tooltip=looks.tips(OPTIMIZER, SCHEDULE, VALUE, INTERVAL, COUNT),
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
