"""A cohort's step, recorded once and repeated, gives the bits of the step itself."""

import pytest
import torch
from small import make_recipe, make_task
from static_models import Plain
from trained_together import drive, make_cohort, no_dropout, same, with_dropout

from lrsearch.training import recorded_step
from lrsearch.training.recorded_step import Recordings


@pytest.fixture
def soon(monkeypatch):
    """Record the second step; the functions that were recorded, with what came of it."""
    monkeypatch.setattr(recorded_step, "RECORD_AFTER", 2)
    made = []
    real = recorded_step.record

    def record(function, arguments):
        made.append(real(function, arguments))
        return made[-1]

    monkeypatch.setattr(recorded_step, "record", record)
    return made


RECIPES = [
    make_recipe(optimizer={"name": name, "lr": 0.01}, clip_norm=clip)
    for name, clip in (("adamw", None), ("sgd", 0.5), ("adafactor", None))
]


@pytest.mark.parametrize("make", [Plain, no_dropout, with_dropout])
@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}], ids=["one batch", "two batches"])
def test_what_is_repeated_gives_the_same_bits(make, changes, soon, monkeypatch):
    """Weights, buffers, averages and every validation, random masks too; and so in the next cohort
    of the task, which records nothing anew."""
    recipes = [recipe.model_copy(update=changes) for recipe in RECIPES]
    task = make_task(model=make)
    first = make_cohort(3, task, recipes[0])
    repeated = drive(first, recipes)
    assert len(soon) == 1
    monkeypatch.setattr("lrsearch.training.fused.stacked.is_static", lambda *_: False)
    plain = drive(make_cohort(3, task, recipes[0]), recipes)
    assert len(soon) == 1
    for (training, rows), (other, wanted) in zip(repeated, plain, strict=True):
        assert same(training.kept, other.kept)
        assert [row.val_loss for row in rows] == [row.val_loss for row in wanted]


def test_what_does_not_repeat_is_not_kept(soon):
    """The loss reads a number that changes, and nothing says so."""
    numbers = iter(range(100))

    def function(weights, buffers, inputs, targets, factors):
        return weights[0].sum(1) * next(numbers), [weights[0] + 0]

    recordings = Recordings()
    weights = torch.ones(2, 3)
    arguments = ([weights], {}, None, None, torch.ones(2))
    given = [float(recordings.call("key", function, arguments)[0][0]) for _ in range(5)]
    assert soon
    assert given == [0.0, 6.0, 9.0, 12.0, 15.0]


def test_what_cannot_be_recorded_is_called(soon, monkeypatch, caplog):
    def refuse(function, arguments):
        raise RuntimeError("not of this kind")

    monkeypatch.setattr(recorded_step, "record", refuse)
    caplog.set_level("INFO", logger="lrsearch")
    cohort = make_cohort(3, make_task(model=no_dropout), RECIPES[0])
    assert len(drive(cohort, RECIPES)) == 3
    assert caplog.messages == ["a step is not recorded: RuntimeError: not of this kind"]


def test_a_calibration_records_at_once():
    recordings = Recordings()
    calls = []

    def function(weights, buffers, inputs, targets, factors):
        calls.append(1)
        return weights[0].sum(1), [weights[0] * 2]

    arguments = ([torch.ones(2, 3)], {}, None, None, torch.ones(2))
    with recordings.at_once():
        for _ in range(4):
            recordings.call("key", function, arguments)
    assert len(calls) == 2  # once to record it, once beside it
