"""The curve of a command that was interrupted, joined from its attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.command.continued import Continued
from lrsearch.command.reading import Reading


def at(epoch, by="epoch", value=None):
    """A report; its value follows from its place, as in a run that repeats itself."""
    number = epoch / 7 if value is None else value
    return Reading(metrics={"v": number}, **({} if by is None else {by: epoch}))


@given(st.data(), st.sampled_from(["epoch", "step"]), st.sampled_from([0, 1]))
def test_wherever_the_command_and_the_curve_stood_the_curve_is_the_same(data, by, first):
    """The reference is the run without interruptions."""
    length = data.draw(st.integers(2, 9))
    whole = [at(first + n, by) for n in range(length)]
    printed = data.draw(st.integers(1, length - 1))  # before it was killed
    taken = data.draw(st.integers(1, printed))  # of which the curve was kept
    state = data.draw(st.integers(0, length))  # from where the command goes on
    printed = max(printed, min(state, length))
    joined = Continued(whole[:printed], taken)
    rest = whole[state:]
    cut = data.draw(st.integers(0, len(rest)))
    came = joined.join(rest[:cut]) + joined.join(rest[cut:])
    assert whole[:taken] + came + joined.rest() == whole
    assert joined.first == whole[0]


def test_of_a_place_that_several_attempts_came_to_the_last_ones_report_is_taken():
    earlier = [at(1), at(2, value=9), at(3, value=9), at(2), at(3)]
    assert Continued(earlier, 1).join([at(4)]) == [at(2), at(3), at(4)]


def test_reports_without_a_place_are_taken_as_they_came():
    earlier = [at(n, None) for n in (1, 2, 3)]
    assert Continued(earlier, 1).join([at(4, None)]) == [at(n, None) for n in (2, 3, 4)]


@pytest.mark.parametrize("taken", [0, 2])
def test_without_earlier_output_what_comes_is_taken(taken):
    joined = Continued([], taken)
    assert joined.first is None
    assert joined.join([]) == []
    assert joined.join([at(5)]) + joined.join([at(6)]) == [at(5), at(6)]
