"""What pruned trials would have reached: of curves that are known to their end."""

import math
import random

import pytest

from lrsearch.advice.stopped_trials import Course, standings


def population(count=60, seed=0, sign=1.0, stop=True):
    """Losses that fall by about a third from rung to rung; the worse half is stopped at a rung.

    Gives the courses and what each would have ended with.
    """
    draw = random.Random(seed)
    ends = [math.exp(draw.gauss(0, 0.5)) for _ in range(count)]
    marks = [[sign * end * 3 ** (2 - rung) * math.exp(draw.gauss(0, 0.05)) for rung in range(2)]
             for end in ends]  # fmt: skip
    courses = []
    limits = [sorted(mark[rung] for mark in marks)[count // 2] for rung in range(2)]
    for end, mark in zip(ends, marks, strict=True):
        worse = [rung for rung in range(2) if mark[rung] > limits[rung]] if stop else []
        last = worse[0] if worse else 1
        rungs = {rung: mark[rung] for rung in range(last + 1)}
        courses.append(Course(rungs=rungs, final=None if worse else sign * end))
    return courses, [sign * end for end in ends]


def test_a_stopped_trial_is_expected_where_it_would_have_ended():
    courses, ends = population()
    found = standings(courses)
    off = [
        abs(math.log(standing.expected / end))
        for standing, end in zip(found, ends, strict=True)
        if standing is not None
    ]
    assert len(off) == sum(course.final is None for course in courses)
    assert sorted(off)[len(off) // 2] < 0.15
    assert max(off) < 0.6


def test_the_expected_ones_keep_the_order_of_their_losses():
    courses, _ = population()
    at_first = sorted(
        (course.rungs[0], standing.expected)
        for course, standing in zip(courses, standings(courses), strict=True)
        if standing is not None and standing.rung == 0
    )
    assert [end for _, end in at_first] == sorted(end for _, end in at_first)


def test_a_place_is_counted_among_the_complete_at_that_rung():
    courses = [Course(rungs={0: loss}, final=loss / 2) for loss in (1.0, 2.0, 3.0)]
    [*_, last] = standings([*courses, Course(rungs={0: 2.5}, final=None)])
    assert (last.rung, last.complete, last.better) == (0, 3, 2)
    assert last.expected == pytest.approx(1.25)


def test_losses_below_0_are_expected_as_they_are():
    courses = [Course(rungs={0: loss}, final=loss - 0.1) for loss in (-0.5, -0.4, -0.3)]
    [*_, last] = standings([*courses, Course(rungs={0: -0.2}, final=None)])
    assert last.expected == pytest.approx(-0.3)


def test_nothing_is_expected_where_too_few_went_on():
    alone = Course(rungs={0: 1.0}, final=None)
    [found] = standings([alone])
    assert (found.complete, found.expected) == (0, None)
    one = Course(rungs={0: 1.0}, final=0.5)
    assert standings([alone, one])[0].expected is None
    assert standings([Course(rungs={}, final=None), one]) == [None, None]
    assert standings([]) == []
