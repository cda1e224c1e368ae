"""Which settings matter? How much the best trials differ from all in each field."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from lrsearch.advice.importance import BEST_SHARE
from lrsearch.report.colours import BLUE, GREY
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.importances import FieldImportance, importances
from lrsearch.report.figures.figure import OPTIMIZER, SCHEDULE, Figure
from lrsearch.report.figures.looks import (
    data,
)
from lrsearch.report.model import Report

#: Fields that are drawn at most, and the height of one in pixels.
MOST_FIELDS, ROW = 15, 22
FIELD, DIVERGENCE, NOISE, CLEAR = "field", "divergence", "noise", "clear"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A field as it is drawn."""

    field: str
    #: Where the field is one of these.
    optimizer: str | None
    schedule: str | None
    trials: int
    divergence: float
    noise: float
    #: Whether it is above the noise.
    clear: bool


def bars_of(found: Sequence[FieldImportance], report: Report) -> list[Bar]:
    space = report.spec.space
    bars = []
    for each in found[:MOST_FIELDS]:
        owner = each.field.rpartition(".")[0]
        bars.append(
            Bar(
                field=each.field,
                optimizer=owner if owner in space.optimizers else None,
                schedule=owner if owner in space.schedules else None,
                trials=each.found.trials,
                divergence=each.found.divergence,
                noise=each.found.noise,
                clear=each.found.divergence > each.found.noise,
            )
        )
    return bars


def figure(report: Report) -> Figure | None:
    """None for too few trials to tell of any field."""
    bars = bars_of(importances(report), report)
    if not bars:
        return None
    clear = [bar.field for bar in bars if bar.clear]
    answer = "No field stands out from what chance would give."
    if clear:
        answer = f"Clearly more than chance: {', '.join(clear)}."
    return Figure(
        name="importance",
        title="Which settings matter?",
        caption=(
            f"{answer} A bar is how much the best {100 * BEST_SHARE:.0f} % of the trials differ "
            "from all in a field (PED-ANOVA: the Pearson divergence of the two densities), over "
            "the trials that have the field. The grey tick is what 95 % of random choices stay "
            "below; shorter bars are faint. A pruned trial is ranked by what it would typically "
            "have reached, and a diverged one last: only who is among the best counts. The "
            "sampler's choices are not undone, so that a range that it soon left looks less "
            "important than it is."
        ),
        alt=f"Importance of {len(bars)} fields. {answer}",
        chart=chart(bars),
    )


def chart(bars: Sequence[Bar]) -> looks.Layers:
    """A bar for each field, and the noise that it has to exceed."""
    order = [bar.field for bar in bars]
    tips = [f"{FIELD}:N", f"{DIVERGENCE}:Q", f"{NOISE}:Q", "trials:Q"]
    base = alt.Chart(data(bars)).encode(
        y=alt.Y(FIELD, type="nominal", sort=order, title=None, axis=alt.Axis(labelLimit=220)),
        tooltip=looks.tips(*tips, f"{OPTIMIZER}:N", f"{SCHEDULE}:N"),
    )
    axis = alt.X(
        DIVERGENCE,
        type="quantitative",
        title="how much the best trials differ",
        axis=alt.Axis(tickCount=8),
    )
    faint = alt.condition(alt.datum[CLEAR], alt.value(0.95), alt.value(0.3))
    bar = base.mark_bar(color=BLUE).encode(axis, opacity=faint)
    noise = base.mark_tick(color=GREY, thickness=3, size=ROW - 4).encode(
        alt.X(NOISE, type="quantitative", title="how much the best trials differ")
    )
    return alt.layer(bar, noise).properties(height=ROW * len(order))
