"""What a ladder found: the best learning rate against the horizon, and each rung's losses."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import altair as alt

from lrsearch.report.colours import BLUE, GREEN, GREY, ORANGE
from lrsearch.report.figures import looks
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.looks import data
from lrsearch.report.model import Report
from lrsearch.report.text.transfer import transfer_text
from lrsearch.report.transfer import Transfer, rung_interval
from lrsearch.transfer.answer import Answer
from lrsearch.transfer.law import Branch, predict
from lrsearch.transfer.plan import measured

#: Pixels of a panel.
WIDTH, HEIGHT = 330, 280
#: Points of a line.
POINTS = 25
#: Losses further above the least of a rung are not drawn, in ln loss.
MOST = 2.0
#: Colours of the regimes.
REGIMES = {"training": BLUE, "overfitting": ORANGE}
#: What is drawn, for its caption.
_EXPLAINED = (
    "Left, dots with bars are each horizon's best lr and its 90 %, small marks the rates that "
    "were trained. Lines with bands are what each regime predicts, the fainter the less "
    "probable; dashed lines are fixed rules from the longest short run. Right, the loss above "
    "the least of each horizon, against lr beside its best: where these curves have one "
    "shape, what a wrong lr costs can be told from short runs."
)
GUIDES = {"same lr": 0.0, "T^-1/3": -1 / 3, "lr x T constant": -1.0}


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A learning rate of a rung."""

    horizon: int
    lr: float
    #: ln loss above the rung's least, and ln lr from the rung's optimum.
    above: float
    off: float
    rung: str
    probe: str


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A rung's optimum, or the answer, with its 90 %."""

    horizon: int
    lr: float
    low: float
    high: float
    what: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place of a line: a regime's law with its band, or a guide."""

    horizon: float
    lr: float
    low: float
    high: float
    line: str
    weight: float = 1.0


def figure(report: Report) -> Figure | None:
    """None of a study that is no ladder, and until its first rung has ended."""
    found = report.transfer
    if found is None or found.answer is None:
        return None
    sentences = transfer_text(found).splitlines()
    return Figure(
        name="transfer",
        title="Which learning rate for the long run?",
        caption=f"{' '.join(f'{_capital(line)}.' for line in sentences)} {_explained(found)}",
        alt=f"Best learning rate against horizon. {_capital(sentences[0])}.",
        chart=chart(found, found.answer),
    )


def _capital(line: str) -> str:
    return line[:1].upper() + line[1:]


def _explained(found: Transfer) -> str:
    batch = found.ladder.batch
    if batch is None:
        return _EXPLAINED
    return (
        f"{_EXPLAINED} The lines are of the short runs' batch, {batch.short}; the long runs have "
        f"{batch.long}."
    )


def tried_of(said: Answer) -> list[Tried]:
    found = []
    for rung in said.optima:
        least = rung.best.y
        found += [
            Tried(
                horizon=rung.horizon,
                lr=point.lr,
                above=point.y - least,
                off=math.exp(point.x - rung.x),
                rung=str(rung.horizon),
                probe="long run" if rung.horizon == said.ladder.to else "short run",
            )
            for point in rung.points
        ]
    return found


def bars_of(said: Answer) -> list[Bar]:
    """Of the rungs, and of the answer where there is one."""
    found = []
    for rung in said.rungs:
        low, high = rung_interval(rung)
        found.append(Bar(horizon=rung.horizon, lr=rung.lr, low=low, high=high, what="short runs"))
    if said.lr is not None and said.interval is not None:
        low, high = said.interval
        what = "guess" if said.is_guess else "answer"
        found.append(Bar(horizon=said.ladder.to, lr=said.lr, low=low, high=high, what=what))
    return found


def law_of(said: Answer) -> list[Place]:
    """Both regimes' predictions from the rungs, from the shortest horizon to the long run's."""
    ladder = said.ladder
    known = measured(ladder, said.rungs)
    found = []
    for horizon in _between(ladder.horizons[0], ladder.to):
        for branch in predict(known, ladder.octaves(horizon)).branches:
            found.append(_place(horizon, branch))
    return found


def _place(horizon: float, branch: Branch) -> Place:
    return Place(
        horizon=horizon,
        lr=math.exp(branch.x),
        low=math.exp(branch.x - branch.spread),
        high=math.exp(branch.x + branch.spread),
        line=f"{branch.regime.name} limits",
        weight=branch.probability,
    )


def guides_of(said: Answer) -> list[Place]:
    """Slopes 0, -1/3 and -1 from the longest rung on."""
    longest, found = said.longest, []
    for name, slope in GUIDES.items():
        for horizon in _between(longest.horizon, said.ladder.to):
            lr = longest.lr * (horizon / longest.horizon) ** slope
            found.append(Place(horizon=horizon, lr=lr, low=lr, high=lr, line=name))
    return found


def _between(low: float, high: float) -> Iterator[float]:
    for i in range(POINTS):
        yield low * (high / low) ** (i / (POINTS - 1))


def chart(found: Transfer, said: Answer) -> alt.HConcatChart:
    """Left the law, right the curves of the rungs."""
    unit = found.field.unit
    left = alt.layer(
        *_law(law_of(said), unit), *_guides(guides_of(said), unit), *_rungs(said, unit)
    )
    both: alt.HConcatChart = alt.hconcat(
        left.properties(width=WIDTH, height=HEIGHT),
        _curves(tried_of(said), unit).properties(width=WIDTH, height=HEIGHT),
    ).resolve_scale(color="independent", opacity="independent")
    return both


def _x(unit: str) -> alt.X:
    scale, axis = alt.Scale(type="log", base=2), alt.Axis(grid=False, tickCount=8, format="~g")
    return alt.X("horizon", type="quantitative", scale=scale, axis=axis, title=f"horizon ({unit})")


def _y(field: str = "lr", title: str | None = "learning rate") -> alt.Y:
    axis = alt.Axis(format=".0e", tickCount=6)
    scale = alt.Scale(type="log", nice=False, padding=6)
    return alt.Y(field, type="quantitative", scale=scale, axis=axis, title=title)


def _law(places: Sequence[Place], unit: str) -> list[alt.Chart]:
    lines = list(dict.fromkeys(place.line for place in places))
    colours = alt.Scale(domain=lines, range=list(REGIMES.values()))
    colour = alt.Color(
        "line", type="nominal", scale=colours, title=None, legend=looks.legend_of(lines)
    )
    charts: list[alt.Chart] = []
    for line in lines:
        mine = [place for place in places if place.line == line]
        weight = max(0.12, mine[-1].weight)
        base = alt.Chart(data(mine)).encode(_x(unit), colour)
        charts.append(base.mark_area(opacity=0.2 * weight).encode(_y("low"), y2=alt.Y2("high")))
        charts.append(base.mark_line(opacity=weight, strokeWidth=2).encode(_y()))
    return charts


def _guides(places: Sequence[Place], unit: str) -> list[alt.Chart]:
    base = alt.Chart(data(places)).encode(
        _x(unit), detail=alt.Detail("line", type="nominal"), tooltip=looks.tips("line:N", "lr:Q")
    )
    return [base.mark_line(color=GREY, strokeDash=[4, 3], strokeWidth=1).encode(_y())]


def _rungs(said: Answer, unit: str) -> list[alt.Chart]:
    bars = bars_of(said)
    tips = looks.tips("what:N", "horizon:Q", "lr:Q", "low:Q", "high:Q")
    base = alt.Chart(data(bars)).encode(_x(unit), tooltip=tips)
    tried = alt.Chart(data(tried_of(said))).encode(
        _x(unit), tooltip=looks.tips("horizon:Q", "lr:Q", "above:Q")
    )
    ticks = tried.mark_point(shape="stroke", size=70, color=GREY, opacity=0.8)
    return [
        ticks.encode(_y()),
        base.mark_rule(strokeWidth=2, color=GREEN).encode(_y("low"), y2=alt.Y2("high")),
        base.mark_point(filled=True, size=80, color=GREEN, opacity=1).encode(_y()),
    ]


def _curves(tried: Sequence[Tried], unit: str) -> looks.Layers:
    rungs = list(dict.fromkeys(each.rung for each in tried))
    near = [each for each in tried if each.above <= MOST]
    colour = alt.Color(
        "rung",
        type="ordinal",
        sort=rungs,
        title=unit,
        scale=alt.Scale(scheme="viridis"),
        legend=looks.legend_of(rungs),
    )
    base = alt.Chart(data(near)).encode(
        alt.X(
            "off",
            type="quantitative",
            title="learning rate / best of its horizon",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format="~g", tickCount=6),
        ),
        alt.Y("above", type="quantitative", title="ln loss above the least of its horizon"),
        colour,
        tooltip=looks.tips("horizon:Q", "lr:Q", "above:Q"),
    )
    return alt.layer(base.mark_line(opacity=0.6), base.mark_point(filled=True, size=36, opacity=1))
