"""What pruned trials would have reached, as far as the trials that went on tell.

From rung to rung, and from the last to the end, a line relates the losses of the trials that got to
both: their logarithms, where all are above 0. A pruned trial's loss follows these lines from where
it was stopped. Who goes on is decided by the loss at the rung, which the line is given, so that the
choice does not bend it. What is expected so of a trial that was stopped early is a guess.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Of fewer trials that got from one rung to the next there is no line.
LEAST_PAIRS = 2
#: A line is expected to rise by 1, which means all losses change by one factor, give or take this:
#: few trials, all of them good, would else give any slope. The standard deviation of the
#: differences is that of 1.4826 times their median distance from the median; pairs further out than
#: so many of it are left out (Huber 1981 on both).
SLOPE_SD, OUTLIER = 0.25, 3.0


@dataclass(frozen=True, kw_only=True)
class Course:
    """A trial's losses at the rungs that it came to, and at its end; None if it was stopped."""

    rungs: Mapping[int, float]
    final: float | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a stopped trial stood among those that were trained to their end."""

    #: The last rung that it came to.
    rung: int
    #: Complete trials with a loss at that rung, and how many of them had a better one there.
    complete: int
    better: int
    #: The loss that it would typically have ended with; None where too few trials tell.
    expected: float | None


def standings(courses: Sequence[Course]) -> list[Standing | None]:
    """Of each course that was stopped after a rung; None of the others."""
    logarithmic = all(loss > 0 for course in courses for loss in _losses(course))
    rungs = sorted({rung for course in courses for rung in course.rungs})
    lines = _lines(courses, rungs, logarithmic=logarithmic)
    done = {
        rung: np.sort([c.rungs[rung] for c in courses if c.final is not None and rung in c.rungs])
        for rung in rungs
    }
    return [
        None
        if course.final is not None or not course.rungs
        else _standing(course, rungs, lines, done, logarithmic=logarithmic)
        for course in courses
    ]


def _losses(course: Course) -> list[float]:
    return [*course.rungs.values(), *([] if course.final is None else [course.final])]


@dataclass(frozen=True, kw_only=True)
class _Line:
    slope: float
    offset: float


def _standing(
    course: Course,
    rungs: Sequence[int],
    lines: Mapping[int, _Line],
    done: Mapping[int, Floats],
    *,
    logarithmic: bool,
) -> Standing:
    last = max(course.rungs)
    loss: float | None = float(_inner(course.rungs[last], logarithmic=logarithmic))
    for rung in rungs[rungs.index(last) :]:
        line = lines.get(rung)
        loss = None if loss is None or line is None else line.offset + line.slope * loss
    if loss is not None and logarithmic:
        loss = float(np.exp(loss))
    return Standing(
        rung=last,
        complete=len(done[last]),
        better=int(np.searchsorted(done[last], course.rungs[last])),
        expected=loss,
    )


def _inner(loss: float, *, logarithmic: bool) -> float:
    return float(np.log(loss)) if logarithmic else loss


def _lines(
    courses: Sequence[Course], rungs: Sequence[int], *, logarithmic: bool
) -> dict[int, _Line]:
    """By rung the line from there to the next rung, from the last one to the end."""
    found = {}
    for rung, following in [*pairwise(rungs), *((rung, None) for rung in rungs[-1:])]:
        pairs = [
            (course.rungs[rung], after)
            for course in courses
            if rung in course.rungs
            and (after := course.final if following is None else course.rungs.get(following))
            is not None
        ]
        inner = [tuple(_inner(loss, logarithmic=logarithmic) for loss in pair) for pair in pairs]
        line = _line(inner)
        if line is not None:
            found[rung] = line
    return found


def _line(pairs: Sequence[tuple[float, ...]]) -> _Line | None:
    """Through the medians, as steep as the pairs and what is expected of them say."""
    if len(pairs) < LEAST_PAIRS:
        return None
    x, y = np.asarray(pairs, float).T
    offsets = y - x
    variance = (1.4826 * float(np.median(np.abs(offsets - np.median(offsets))))) ** 2
    apart, after = x - np.median(x), y - np.median(y)
    usual = np.abs(after - apart) <= OUTLIER * (variance**0.5)
    belief = variance / SLOPE_SD**2
    top, bottom = float(apart[usual] @ after[usual]), float(apart[usual] @ apart[usual])
    slope = max(0.0, (top + belief) / (bottom + belief)) if bottom + belief else 1.0
    return _Line(slope=slope, offset=float(np.median(y - slope * x)))
