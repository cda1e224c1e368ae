"""When steps are compiled: the rules, and what stands with a study."""

import pytest

from lrsearch.errors import SpecError
from lrsearch.fusing import compiling
from lrsearch.fusing.choice import Choice, Workload
from lrsearch.fusing.compiling import Measured

ALONE = Choice(engine="solo", size=1, reason="it cannot be fused")
FUSED = Choice(engine="fused", size=4, reason="2.0x", timings={1: 1e-3, 4: 5e-4})
LONG = Workload(trial_steps=1e5, steps_left=1e7)


def measured(gain, seconds=20.0):
    return Measured(plain=1e-3, compiled=1e-3 / gain, seconds=seconds)


@pytest.mark.parametrize(
    ("choice", "gain", "seconds", "pays"),
    [
        (ALONE, 1.5, 20.0, True),
        (ALONE, 1.1, 20.0, False),  # the noise of a measurement
        (ALONE, 1.5, 1600.0, True),  # it saves 3,333 s
        (ALONE, 1.5, 1700.0, False),
        (FUSED, 1.9, 20.0, False),  # slower than several at once
        (FUSED, 2.4, 20.0, True),
    ],
)
def test_steps_are_compiled_where_that_saves_twice_what_it_costs(choice, gain, seconds, pays):
    assert compiling.decide(choice, LONG, measured(gain, seconds))[0] == pays


def test_the_reasons():
    assert compiling.decide(ALONE, LONG, measured(0.7))[1] == (
        "they are 0.70x over one by one, 1.15 is needed"
    )
    short = Workload(trial_steps=100, steps_left=1000)
    assert compiling.decide(ALONE, short, measured(2.0))[1] == (
        "they would save 0 s; compiling took 20 s"
    )
    assert compiling.decide(FUSED, LONG, measured(3.0))[1] == (
        "1.5x over 4 at once, compiled in 20 s"
    )


@pytest.mark.parametrize(("seconds", "is_worth"), [(60, False), (1100, False), (1300, True)])
def test_nothing_is_tried_before_a_study_of_less_than_twenty_minutes(seconds, is_worth):
    workload = Workload(trial_steps=100, workers=2, steps_left=2000 * seconds)
    assert compiling.is_worth_a_try(workload, 1e-3) == is_worth


def test_a_choice_of_compiled_steps_keeps_what_was_measured():
    found = compiling.compiled(FUSED, "2.4x over 4 at once", 20.0)
    assert (found.engine, found.size, found.timings) == ("compiled", 1, FUSED.timings)
    assert found.title == "one by one, compiled: 2.4x over 4 at once"
    assert found.line == (
        'fuse=off engine=compiled reason="2.4x over 4 at once" (probe 0.0 s, calibration 20.0 s)'
    )


@pytest.mark.parametrize("fuse", ["auto", "off", 8])
@pytest.mark.parametrize("compile", ["auto", "off"])
def test_what_was_asked_for_is_recorded_in_sixteen_characters(fuse, compile):
    recorded = compiling.recorded_as(fuse, compile)
    assert len(recorded) <= 16
    # A number of trials at once, or one by one, is never compiled, whatever --compile says.
    assert compiling.asked_for(recorded) == (str(fuse), compile if fuse == "auto" else "auto")


def test_another_word_is_refused_in_one_line():
    with pytest.raises(SpecError, match=r"^--compile 'on': auto or off is accepted$"):
        compiling.parse("on")
