"""Which settings matter? How much the best trials differ from all in each field."""

from collections.abc import Iterator, Sequence
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
from lrsearch.report.text.format import counted
from lrsearch.trial.states import TrialState

#: Fields that are drawn at most, and the height of one in pixels.
MOST_FIELDS, ROW = 15, 22
FIELD, DIVERGENCE, NOISE, CLEAR = "field", "divergence", "noise", "clear"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A field as it is drawn."""

    #: In words.
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
                field=_words(each.field, owner),
                optimizer=owner if owner in space.optimizers else None,
                schedule=owner if owner in space.schedules else None,
                trials=each.found.trials,
                divergence=each.found.divergence,
                noise=each.found.noise,
                clear=each.found.divergence > each.found.noise,
            )
        )
    return bars


def _words(field: str, owner: str) -> str:
    """`beta1 of adamw` for `adamw.1-beta1`, which is how the sampler sees it."""
    key = field.removeprefix(f"{owner}.").removeprefix("1-")
    return f"{key} of {looks.short_name(owner)}" if owner else key


def figure(report: Report) -> Figure | None:
    """None for too few trials to tell of any field."""
    bars = bars_of(importances(report), report)
    if not bars:
        return None
    answer = _answer(bars)
    return Figure(
        name="importance",
        title="Which settings matter?",
        caption=" ".join([answer, *_explained(bars, report)]),
        alt=f"Importance of {counted(len(bars), 'setting')}. {answer}",
        chart=chart(bars),
    )


def _answer(bars: Sequence[Bar]) -> str:
    clear = [bar.field for bar in bars if bar.clear]
    if not clear:
        return "In no setting do the best trials differ from all trials by more than chance."
    return f"By more than chance the best trials differ from all in: {', '.join(clear)}."


def _explained(bars: Sequence[Bar], report: Report) -> Iterator[str]:
    share = f"{100 * BEST_SHARE:.0f} %"
    yield (
        f"A bar is how far the values of a setting that the best {share} of the trials have lie "
        "from those that all trials have, 0 if they are spread alike, over the trials that have "
        "the setting. The grey tick is chance: 95 % of picks of as many trials at random stay "
        "below it. A faint bar does not reach its tick."
    )
    if any(bar.field == SCHEDULE and not bar.clear for bar in bars):
        yield (
            "For the schedule this means: the best trials have each schedule about as often as a "
            "random pick would. It does not mean that all schedules are equally good."
        )
    yield (
        "This asks which values the best trials have; the figures that compare optimizers and "
        "schedules ask what value these reach, so that the two may differ."
    )
    states = {trial.state for trial in report.lr_trials}
    if TrialState.PRUNED in states:
        yield "A pruned trial is ranked by what it would typically have reached."
    if TrialState.DIVERGED in states:
        yield "A diverged trial is ranked last."
    yield ("A range that the sampler soon left has few trials and looks less important than it is.")


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
        title="how far the best trials are from all",
        axis=alt.Axis(tickCount=8),
    )
    faint = alt.condition(alt.datum[CLEAR], alt.value(0.95), alt.value(0.3))
    bar = base.mark_bar(color=BLUE).encode(axis, opacity=faint)
    noise = base.mark_tick(color=GREY, thickness=3, size=ROW - 4).encode(
        alt.X(NOISE, type="quantitative", title="how far the best trials are from all")
    )
    return alt.layer(bar, noise).properties(height=ROW * len(order))
