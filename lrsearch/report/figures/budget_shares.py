"""Was the budget spent as planned? Each share's epochs beside those that the plan has for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

import altair as alt

from lrsearch.advice.shares import shares
from lrsearch.report.colours import BLUE, GREY
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.budget_shares import KNOWN, Share, budget_shares
from lrsearch.report.figures.figure import Figure
from lrsearch.report.model import Report
from lrsearch.report.text.format import EMPTY, amount, length_unit
from lrsearch.report.text.plan import stages_text

if TYPE_CHECKING:
    from lrsearch.report.figures.figure import Chart

SPENT, PLANNED = "spent", "planned"
#: Height of a share, in pixels.
ROW = 40
#: The axis is so many times as long as the longest bar: its words stand beside it.
ROOM = 1.5


def figure(report: Report) -> Figure | None:
    """None where one share is all there is, or nothing was trained."""
    found, unit = budget_shares(report), length_unit(report.spec)
    if len(found) < 2 or not any(share.spent for share in found):
        return None
    answer = _answer(found, unit)
    return Figure(
        name="budget_shares",
        title="Was the budget spent as planned?",
        caption=" ".join([answer, _parts(found), _bound(report), *_rungs(report)]),
        alt=f"Planned and spent {unit} of each share of the budget. {answer}",
        chart=_chart(found, unit),
    )


def _answer(found: Sequence[Share], unit: str) -> str:
    """`Of about 750 planned epochs 712 were trained.`"""
    spent = amount(fsum(share.spent for share in found))
    known = [share.planned for share in found if share.planned is not None]
    if len(known) < len(found):
        return f"{spent} {unit} were trained; how many a budget of time pays for is not planned."
    return f"Of about {amount(fsum(known))} planned {unit} {spent} were trained."


def _parts(found: Sequence[Share]) -> str:
    if all(share.name != KNOWN for share in found):
        return "Exploration is what the sampler draws."
    return (
        "Known recipes are your own, those of earlier studies and the portfolio's; exploration is "
        "what the sampler draws."
    )


def _bound(report: Report) -> str:
    if report.plan.most_epochs is None:
        return "The plan is an expectation; the number of trials is what ends the search."
    return "The plan is an expectation; only the whole budget is a bound."


def _rungs(report: Report) -> list[str]:
    """Of a planned search how many trials come to each rung by the plan."""
    planned = shares(report.plan)
    return [f"By the plan {stages_text(planned)}."] if len(planned.stages) > 1 else []


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A share as it is drawn, once as planned and once as spent."""

    name: str
    kind: str
    epochs: float
    #: `118 of about 120`
    told: str


def bars_of(found: Sequence[Share]) -> list[Bar]:
    return [
        bar
        for share in found
        for bar in (
            Bar(
                name=share.name,
                kind=SPENT,
                epochs=share.spent,
                told=f"{amount(share.spent)} of about {_planned(share)}",
            ),
            Bar(name=share.name, kind=PLANNED, epochs=share.planned or 0.0, told=""),
        )
    ]


def _planned(share: Share) -> str:
    return EMPTY if share.planned is None else amount(share.planned)


def _chart(found: Sequence[Share], unit: str) -> "Chart":
    bars = bars_of(found)
    longest = max(bar.epochs for bar in bars)
    base = alt.Chart(looks.data(bars)).encode(
        x=alt.X(
            "epochs",
            type="quantitative",
            title=unit,
            scale=alt.Scale(domain=[0, ROOM * longest], nice=False),
            axis=alt.Axis(grid=False, tickCount=6),
        ),
        y=alt.Y("name", type="nominal", sort=[share.name for share in found], title=None),
        yOffset=alt.YOffset("kind", type="nominal", sort=[SPENT, PLANNED]),
        tooltip=looks.tips("name:N", "kind:N", "epochs:Q"),
    )
    scale = alt.Scale(domain=[SPENT, PLANNED], range=[BLUE, GREY])
    bar = base.mark_bar().encode(color=alt.Color("kind", type="nominal", scale=scale, title=None))
    told = base.mark_text(align="left", dx=5).encode(text=alt.Text("told", type="nominal"))
    joined: Chart = alt.layer(bar, told).properties(height=ROW * len(found))
    return joined
