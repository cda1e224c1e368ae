"""Which engine, and how many trials at once: the rules, and the calibration that they rest on."""

import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_studies import tiny_spec

from lrsearch.errors import SpecError
from lrsearch.fusing import choice as fusing_choice
from lrsearch.fusing import fuse_option
from lrsearch.fusing.choice import Choice, Workload
from lrsearch.training.devices import hardware
from lrsearch.training.timing import calibrator as timing_calibrator
from lrsearch.training.timing.calibrator import Calibrator
from lrsearch.training.timing.measure import looked_at_again

#: Measured, in ms per trial-step: a small MLP, a CNN that fusing slows down.
MLP = {1: 0.5, 2: 0.8, 4: 0.56, 8: 0.4, 16: 0.33, 32: 0.28, 64: 0.34}
CNN = {1: 6.0, 2: 6.9, 4: 7.8}


@pytest.mark.parametrize(
    ("timings", "most", "size"),
    [
        (MLP, 64, 32),
        (MLP, 31, 16),
        (MLP, 15, 8),
        (MLP, 7, 1),
        (CNN, 64, 1),
        ({1: 1.0}, 64, 1),
        ({1: 1.0, 2: 0.88, 4: 0.86}, 64, 4),  # 2 are within a tenth, but not 1.15 times quicker
        ({1: 1.0, 2: 0.54, 4: 0.5}, 64, 2),
        ({1: 1.0, 2: 0.56, 4: 0.5}, 64, 4),
    ],
)
def test_the_fewest_at_once_that_are_about_as_quick_as_the_best(timings, most, size):
    assert fusing_choice.best_size(timings, most) == size


@given(
    st.dictionaries(st.sampled_from(fusing_choice.SIZES), st.floats(1e-6, 1e3)),
    st.floats(1e-6, 1e3),
    st.integers(0, 100),
)
def test_fused_is_never_taken_without_its_gain(timings, solo, most):
    size = fusing_choice.best_size({1: solo, **timings}, most)
    allowed = {k: seconds for k, seconds in timings.items() if k <= most}
    if size == 1:
        assert all(
            solo < fusing_choice.LEAST_GAIN * seconds * (1 + 1e-9) for seconds in allowed.values()
        )
        return
    assert size <= most
    assert solo >= fusing_choice.LEAST_GAIN * allowed[size] * (1 - 1e-9)
    assert allowed[size] <= fusing_choice.CLOSE * min(allowed.values())


@pytest.mark.parametrize(
    ("workload", "step", "most"),
    [
        ({"trials": 60}, 0.0, 15),
        ({"trials": 60, "workers": 2}, 0.0, 7),
        ({"trials": 12, "workers": 2}, 0.0, 1),
        ({"trials": 3}, 0.0, 0),
        ({"trials": 1e9}, 0.0, fuse_option.MOST_AT_ONCE),
        ({"seconds": 100.0}, 0.0, fuse_option.MOST_AT_ONCE),  # not known before a step was timed
        ({"seconds": 100.0}, 0.01, 2),  # ten trials of 10 s one by one
        ({"seconds": 100.0, "workers": 2}, 0.01, 2),  # of 20 trials
        ({"seconds": 100.0, "trials": 4}, 0.01, 1),
    ],
)
def test_at_most_a_quarter_of_the_study_trains_at_once(workload, step, most):
    assert Workload(trial_steps=1000, **workload).most_at_once(step) == most


def test_a_calibration_costs_little_of_what_it_may_save():
    assert fusing_choice.calibration_budget(2.0) is None
    for seconds in (5.0, 60.0, 3600.0, math.inf):
        budget = fusing_choice.calibration_budget(seconds)
        assert fusing_choice.LEAST_SECONDS <= budget <= fusing_choice.MOST_SECONDS
        assert budget <= max(fusing_choice.LEAST_SECONDS, 0.02 * seconds)


def test_training_is_what_is_left_for_each_worker():
    workload = Workload(trial_steps=100, workers=2, steps_left=1000, seconds=60.0, seconds_left=4.0)
    assert workload.training_seconds(0.001) == 0.5
    assert workload.training_seconds(1.0) == 4.0


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(1, []), (2, [2]), (3, [2, 3]), (15, [2, 4, 8, 15]), (16, [2, 4, 8, 16]), (17, [2, 4, 8, 16])],
)
def test_sizes_that_are_tried(most, sizes):
    assert fusing_choice.sizes_to_try(most) == sizes


@pytest.mark.parametrize(
    ("timings", "tried", "most", "is_enough"),
    [
        (MLP, 64, 16, True),
        (MLP, 64, 15, False),  # 15 are more than 8 by much
        (MLP, 64, 11, True),
        ({1: 1.0, 2: 0.8, 3: 0.7}, 3, 15, False),
        (CNN, 15, 64, True),  # it ended early
        (MLP, 64, 256, True),  # more than 64 are not tried
        ({1: 1.0}, 2, 15, True),  # there was no time for any
        ({1: 1.0}, 1, 15, False),
    ],
)
def test_timings_of_another_study_are_enough_or_not(timings, tried, most, is_enough):
    assert fusing_choice.covers(timings, tried, most) == is_enough


def test_a_choice_in_a_line_and_in_a_row():
    fused = Choice(
        engine="fused",
        size=8,
        reason="1.9x over one by one",
        probe_seconds=0.41,
        calibration_seconds=1.1,
        timings={1: 1.9, 8: 1.0},
        most=15,
        fits=True,
    )
    assert fused.line == (
        "fuse=on engine=fused K=8 speedup=1.9x over one by one (probe 0.4 s, calibration 1.1 s)"
    )
    assert Choice.from_row(SimpleNamespace(**fused.to_row())) == fused
    solo = Choice(engine="solo", size=1, reason="aten::lstm.input has no batching rule")
    assert solo.line == 'fuse=off engine=solo reason="aten::lstm.input has no batching rule"'
    given = Choice(engine="fused", size=8, reason="--fuse 8")
    assert given.line == 'fuse=on engine=fused K=8 reason="--fuse 8"'
    assert given.title == "fused, 8 trials at once: --fuse 8"


@pytest.mark.parametrize("text", ["", "1", "0", "-4", "2.5", "on", "AUTO", "1025", "²", "9" * 5000])
def test_what_fuse_does_not_take(text):
    with pytest.raises(SpecError, match=r"^--fuse .*: auto, off or a number of trials at once"):
        fuse_option.parse(text)


def test_what_fuse_takes():
    assert [fuse_option.parse(text) for text in ("auto", "off", "2", "64")] == [
        "auto",
        "off",
        2,
        64,
    ]


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({}, "study tiny has 12 trials in all"),
        ({"params": {"dropout": {"low": 0.0, "high": 0.3}}}, r"searches params \(dropout\)"),
    ],
)
def test_studies_that_cannot_train_so_many_at_once(space, words):
    size = 4 if space else 13
    spec = tiny_spec(space={"optimizers": {"sgd": {}}, "schedules": {"constant": {}}, **space})
    with pytest.raises(SpecError, match=f"^--fuse {size}: .*{words}"):
        fuse_option.check(spec, size)
    fuse_option.check(spec, "auto")


class Machine:
    """Engines whose trial-steps take as long as `timings` say, on a clock of its own."""

    def __init__(self, timings, monkeypatch):
        self.timings, self.now, self.admitted = timings, 0.0, []
        monkeypatch.setattr(timing_calibrator.time, "process_time", lambda: self.now)

    def make(self, size):
        return FakeEngine(self, size)


class FakeEngine:
    """It stops at every tenth step, as at the end of an epoch, and draws random numbers."""

    def __init__(self, machine, size):
        self.machine, self.size, self.trainings = machine, size, []

    def admit(self, recipe):
        torch.manual_seed(0)
        self.machine.admitted.append((self.size, recipe))
        self.trainings.append(SimpleNamespace(step=0, parameters=[torch.zeros(250)]))

    def advance(self, steps):
        seconds = self.machine.timings[self.size]
        if isinstance(seconds, Exception):
            raise seconds
        for training in self.trainings:
            done = min(steps, 10 - training.step % 10)
            training.step += done
        self.machine.now += seconds * self.size * done


def calibrated(timings, monkeypatch, *, sizes=(2, 4, 8), budget=3.0, recipes=("a", "b", "c")):
    machine = Machine(timings, monkeypatch)
    calibrator = Calibrator(machine.make, recipes, torch.device("cpu"))
    return calibrator.run(sizes, budget), machine, calibrator


def test_a_calibration_finds_how_long_each_size_takes(monkeypatch):
    before = torch.get_rng_state()
    timings = {1: 0.004, 2: 0.003, 4: 0.002, 8: 0.001}
    found, machine, calibrator = calibrated(timings, monkeypatch)
    assert found == pytest.approx(timings)
    assert [recipe for size, recipe in machine.admitted if size == 4] == ["a", "b", "c", "a"]
    assert calibrator.trial_bytes == 5000  # no activations
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("timings", "budget", "last"),
    [
        ({1: 1e-3, 2: 9e-4, 4: 8.9e-4}, 3.0, 4),  # the second doubling gained little
        ({1: 1e-3, 2: 5e-4, 4: torch.OutOfMemoryError("full")}, 3.0, 2),
        ({1: 0.1, 2: 0.1}, 1.5, 2),  # 4 would take longer than is left
        ({1: 1e-3}, 0.001, 1),
    ],
)
def test_a_calibration_ends_early(timings, budget, last, monkeypatch):
    found, _, calibrator = calibrated(timings, monkeypatch, budget=budget, recipes="a")
    assert max(found) == last
    assert calibrator.cut_short == (budget < 3.0)


def test_a_small_gain_of_the_first_sizes_does_not_end_a_calibration(monkeypatch):
    """Those of an autoencoder, of which sixteen at once train twice as fast as one."""
    timings = {1: 4e-3, 2: 3.6e-3, 4: 3.4e-3, 8: 2.5e-3}
    found, _, _ = calibrated(timings, monkeypatch)
    assert max(found) == 8


def test_engines_are_timed_once_their_first_steps_of_a_turn_are_done(monkeypatch):
    """These bring into the processor's caches what the turns of the others have put out of them."""
    turn, cold = [], 10.0

    def advance(engine, steps):
        if not turn or turn[-1] is not engine:
            turn.append(engine)
            engine.machine.now += cold
        return plain(engine, steps)

    plain = FakeEngine.advance
    monkeypatch.setattr(FakeEngine, "advance", advance)
    timings = {1: 0.004, 2: 0.003}
    machine = Machine(timings, monkeypatch)
    calibrator = Calibrator(machine.make, ("a", "b"), torch.device("cpu"))
    found = calibrator.run((2,), 1000.0)
    assert found[1] / found[2] == pytest.approx(4 / 3)


def test_too_little_memory_ends_a_calibration(monkeypatch):
    monkeypatch.setattr(timing_calibrator, "free_bytes", lambda device: 4 * 5000)
    found, _, _ = calibrated({1: 4e-3, 2: 3e-3}, monkeypatch)
    assert max(found) == 2


def test_what_stops_at_a_step_is_not_timed_for_ever(monkeypatch):
    monkeypatch.setattr(FakeEngine, "advance", lambda self, steps: None)
    with pytest.raises(ArithmeticError, match="stopped at step 0"):
        calibrated({1: 1e-3}, monkeypatch)


def test_on_an_accelerator_memory_is_judged_by_what_was_used(monkeypatch):
    """A trial takes 10 MB of 90: 8 of them would take more than the share that may be used."""
    timings = {1: 0.004, 2: 0.003, 4: 0.002, 8: 0.001}
    machine = Machine(timings, monkeypatch)
    calibrator = Calibrator(machine.make, ("a", "b"), torch.device("cpu"))
    peaks = iter([0, 20_000_000, 0, 40_000_000])
    monkeypatch.setattr(timing_calibrator, "used_bytes", lambda device: next(peaks))
    monkeypatch.setattr(timing_calibrator, "free_bytes", lambda device: 90_000_000)
    monkeypatch.setattr(timing_calibrator, "_own_random_stream", lambda device: nullcontext())
    calibrator.device = torch.device("cuda")
    assert set(calibrator.run((2, 4, 8), 3.0)) == {1, 2, 4}
    assert calibrator.trial_bytes == 10_000_000


def test_hardware_has_a_name_that_tells_the_threads():
    assert hardware(torch.device("cpu")).endswith(", 1 thread")


@pytest.mark.parametrize(
    ("timings", "count", "size", "alone"),
    [
        ({1: 1.0, 2: 1.1, 4: 0.8, 8: 0.5}, 1, 2, True),
        ({1: 1.0, 2: 1.1, 4: 0.8, 8: 0.5}, 2, 2, True),
        ({1: 1.0, 2: 1.1, 4: 0.8, 8: 0.5}, 4, 4, False),
        ({1: 1.0, 2: 1.1, 4: 0.8, 8: 0.5}, 3, 8, True),
        ({1: 1.0, 2: 1.1, 4: 0.8, 8: 0.5}, 5, 8, False),
        ({1: 1.0, 4: 0.5, 8: 0.5}, 2, 6, True),
        ({1: 1.0, 4: 0.5, 8: 0.5}, 4, 6, False),
        ({}, 1, 8, True),
        ({}, 2, 8, False),
    ],
)
def test_a_program_half_empty_may_be_slower_than_one_by_one(timings, count, size, alone):
    choice = Choice(engine="fused", size=size, reason="", timings=timings)
    assert choice.is_faster_alone(count, size) is alone


def test_a_study_of_few_trainings_says_so_whatever_was_measured_before():
    known = {1: 1.0, 2: 0.5}
    assert fusing_choice.decide(known, 1) == ("solo", 1, fusing_choice.TOO_FEW)
    assert "no time or memory" in fusing_choice.decide({1: 1.0}, 8)[2]


class SecondLook:
    """A calibrator that finds these seconds when it looks again."""

    def __init__(self, **found):
        self.found, self.asked = found, []

    def again(self, size):
        self.asked.append(size)
        return self.found[f"of_{size}"]


@pytest.mark.parametrize(
    ("timings", "found", "asked", "size"),
    [
        ({1: 1.0, 2: 0.95, 4: 0.85}, {"of_4": 1.1}, [4], 1),
        ({1: 1.0, 2: 0.95, 4: 0.85}, {"of_4": 0.8}, [4], 4),
        ({1: 1.0, 2: 0.86, 4: 0.85}, {"of_2": 1.2, "of_4": 0.84}, [2, 4], 4),
        ({1: 1.0, 2: 0.95, 4: 0.5}, {}, [], 4),
        ({1: 1.0, 2: 0.95}, {}, [], 1),
    ],
)
def test_a_gain_that_may_be_noise_is_timed_once_more(timings, found, asked, size):
    look = SecondLook(**found)
    after = looked_at_again(look, timings, 8)
    assert look.asked == asked
    assert fusing_choice.best_size(after, 8) == size
    assert all(after[k] >= timings[k] for k in timings)
