"""Is the recommended recipe really the best? Every candidate's seeds, means and differences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import altair as alt

from lrsearch.confirmation.runs import CHOOSE, REPORT
from lrsearch.report.colours import BLUE, GREY, ORANGE
from lrsearch.report.figures import looks
from lrsearch.report.figures.data.candidates import Candidate, candidates_of
from lrsearch.report.figures.figure import OPTIMIZER, SCHEDULE, TRIAL, Figure
from lrsearch.report.figures.looks import (
    data,
)
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, number, signed

#: In words.
ROUNDS = {CHOOSE: "runs used to choose", REPORT: "runs used to measure"}
#: Height of a candidate and width of a panel, in pixels.
ROW, WIDTH = 44, 300
NAME, VALUE, LOW, HIGH, ROUND = "name", "value", "low", "high", "round"


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A run with a value, or a mean with its interval."""

    trial: int
    optimizer: str
    schedule: str
    name: str
    round: str
    value: float
    n: int = 1
    seed: int | None = None
    low: float | None = None
    high: float | None = None
    fate: str | None = None


def runs_of(candidates: Sequence[Candidate]) -> list[Dot]:
    return [
        _dot(candidate, run.round, run.value, seed=run.seed)
        for candidate in candidates
        for run in candidate.runs
        if run.value is not None
    ]


def means_of(candidates: Sequence[Candidate]) -> list[Dot]:
    """The mean of each round that a candidate was in."""
    found = []
    for candidate in candidates:
        for mean in candidate.means:
            low, high = mean.ci95 or (None, None)
            found.append(_dot(candidate, mean.round, mean.mean, n=mean.n, low=low, high=high))
    return found


def differences_of(candidates: Sequence[Candidate]) -> list[Dot]:
    """Of each but the recommended one, less that one's values on the same seeds."""
    found = []
    for candidate in candidates:
        for mean in candidate.means:
            beside = mean.difference
            if beside is not None:
                low, high = beside.ci95 or (None, None)
                found.append(
                    _dot(candidate, mean.round, beside.mean, n=beside.n, low=low, high=high)
                )
    return found


def _dot(
    candidate: Candidate,
    round_: str,
    value: float,
    *,
    n: int = 1,
    seed: int | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Dot:
    return Dot(
        trial=candidate.trial,
        optimizer=candidate.recipe.optimizer_name,
        schedule=candidate.recipe.schedule_name,
        name=candidate.title,
        round=ROUNDS[round_],
        value=value,
        n=n,
        seed=seed,
        low=low,
        high=high,
        fate=candidate.fate,
    )


def figure(report: Report) -> Figure | None:
    """None until a run has ended with a value."""
    candidates = candidates_of(report)
    if not any(candidate.means for candidate in candidates):
        return None
    answer = _answer(candidates, report)
    others = " ".join(f"Trial {each.trial}: {each.fate}." for each in candidates[1:])
    return Figure(
        name="confirmation",
        title="Is the recommended recipe really the best?",
        caption=" ".join(filter(None, [answer, others, *_explained(candidates)])),
        alt=f"{report.metric} of {counted(len(candidates), 'candidate')} on fresh seeds. "
        f"{answer} {others}",
        chart=chart(candidates, report),
    )


def _explained(candidates: Sequence[Candidate]) -> Iterator[str]:
    """What is drawn where, and what the two kinds of runs are worth."""
    sure = any(mean.ci95 is not None for each in candidates for mean in each.means)
    yield (
        "Small dots are runs, each with a fresh seed; large marks are means"
        f"{' with their 95 % intervals' if sure else ''}."
    )
    if differences_of(candidates):
        yield (
            "The second panel has the difference to the recommended recipe on the same seeds, "
            "which takes out what a seed does to both."
        )
    there = {run.round for each in candidates for run in each.runs}
    if CHOOSE in there:
        yield (
            f"The {ROUNDS[CHOOSE]} picked the recipe: the one that won looks better in them than "
            "it is."
        )
    if REPORT in there:
        yield f"The {ROUNDS[REPORT]} began after the choice and had no part in it."


def _answer(candidates: Sequence[Candidate], report: Report) -> str:
    first = candidates[0]
    if not first.means:
        return ""
    mean = first.means[-1]
    low, high = mean.ci95 or (None, None)
    within = "" if low is None else f", 95 % interval {number(low)} to {number(high)}"
    said = (
        f"Trial {first.trial}, {first.fate}, has a mean {report.metric} of {number(mean.mean)} on "
        f"{counted(mean.n, 'seed')}{within}."
    )
    rivals = [(each, m.difference) for each in candidates[1:] for m in each.means[-1:]]
    for rival, beside in rivals[:1]:
        if beside is not None:
            ends = beside.ci95
            sure = "" if ends is None else f" ({signed(ends[0])} to {signed(ends[1])})"
            said += (
                f" On {counted(beside.n, 'seed')} that trained both, the {report.metric} of the "
                f"next, trial {rival.trial}, differs by {signed(beside.mean)}{sure}."
            )
    return said


def chart(candidates: Sequence[Candidate], report: Report) -> alt.HConcatChart:
    """A row for each candidate: its runs and means beside its differences."""
    order = [candidate.title for candidate in candidates]
    there = {run.round for candidate in candidates for run in candidate.runs}
    rounds = [name for round_, name in ROUNDS.items() if round_ in there]
    title = looks.value_title(report.spec.objective)
    values = alt.layer(
        _marks(runs_of(candidates), order, rounds, title, small=True),
        *_with_intervals(means_of(candidates), order, rounds, title),
    ).properties(width=WIDTH, height=ROW * len(order))
    differences = differences_of(candidates)
    if not differences:
        return alt.hconcat(values)
    zero = alt.Chart(data([Line(value=0.0)])).mark_rule(color=GREY, strokeDash=[4, 3])
    title = f"difference in {report.metric} to the first, same seeds"
    beside = alt.layer(
        zero.encode(alt.X(VALUE, type="quantitative")),
        *_with_intervals(differences, order, rounds, title, labels=False),
    ).properties(width=WIDTH, height=ROW * len(order))
    joined: alt.HConcatChart = alt.hconcat(values, beside).resolve_scale(
        color="shared", shape="shared", y="shared"
    )
    return joined


@dataclass(frozen=True, kw_only=True)
class Line:
    """Where nothing differs."""

    value: float


def _base(
    dots: Sequence[Dot], order: Sequence[str], rounds: Sequence[str], *, labels: bool
) -> alt.Chart:
    """A place for each candidate, and within it one for each round."""
    axis = alt.Axis(labelLimit=260, labels=labels, grid=True)
    place = alt.Y(NAME, type="nominal", sort=list(order), title=None, axis=axis)
    offset = alt.YOffset(ROUND, type="nominal", sort=list(rounds))
    scale = alt.Scale(domain=list(rounds), range=[ORANGE, BLUE][-len(rounds) :])
    legend = looks.legend_of(rounds)
    colour = alt.Color(ROUND, type="nominal", scale=scale, title=None, legend=legend)
    tips = [f"{TRIAL}:Q", f"{OPTIMIZER}:N", f"{SCHEDULE}:N", f"{ROUND}:N", f"{VALUE}:Q"]
    is_run = any(dot.seed is not None for dot in dots)
    is_sure = any(dot.low is not None for dot in dots)
    own = ["seed:Q"] if is_run else ["n:Q", *([f"{LOW}:Q", f"{HIGH}:Q"] if is_sure else [])]
    tooltip = looks.tips(*tips, *own, "fate:N")
    return alt.Chart(data(dots)).encode(place, offset, colour, tooltip=tooltip)


def _value(title: str, field: str = VALUE) -> alt.X:
    scale, axis = alt.Scale(zero=False, padding=10), alt.Axis(tickCount=5)
    return alt.X(field, type="quantitative", title=title, scale=scale, axis=axis)


def _marks(
    dots: Sequence[Dot], order: Sequence[str], rounds: Sequence[str], title: str, *, small: bool
) -> alt.Chart:
    size, opacity = (26, 0.55) if small else (90, 1.0)
    marks: alt.Chart = _base(dots, order, rounds, labels=True).mark_point(
        filled=True, size=size, opacity=opacity
    )
    return marks.encode(_value(title))


def _with_intervals(
    dots: Sequence[Dot],
    order: Sequence[str],
    rounds: Sequence[str],
    title: str,
    *,
    labels: bool = True,
) -> list[alt.Chart]:
    base = _base(dots, order, rounds, labels=labels)
    sure = _base([d for d in dots if d.low is not None], order, rounds, labels=labels)
    shapes = alt.Scale(domain=list(rounds), range=["square", "diamond"][-len(rounds) :])
    legend = looks.legend_of(rounds)
    shape = alt.Shape(ROUND, type="nominal", scale=shapes, title=None, legend=legend)
    return [
        sure.mark_rule(strokeWidth=2).encode(_value(title, LOW), x2=alt.X2(HIGH)),
        base.mark_point(filled=True, size=90, opacity=1).encode(_value(title), shape),
    ]
