"""What a run makes of `run.loss`: mean, divergence, and the readings of a range test."""

import math

import pytest
import torch
from fake_worker import make_run
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lrsearch.errors import TaskError
from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.losses import Losses, RampReadings
from lrsearch.own_loop.messages import Diverged, Failed, Finished, Readings, Report
from lrsearch.range_test.reading import FACTOR, has_ended
from lrsearch.trial.divergence import NOT_FINITE_AT_START

CPU = torch.device("cpu")


@given(st.lists(st.lists(st.floats(-5, 5), max_size=40), min_size=1, max_size=4))
def test_the_mean_is_that_of_the_losses_since_the_last_report(reports):
    losses = Losses(CPU)
    for values in reports:
        for value in values:
            losses.add(torch.tensor(value, dtype=torch.float64))
            if losses.is_look_due:
                losses.look(1)
        mean = losses.take_mean()
        if values:
            assert mean == pytest.approx(math.fsum(values) / len(values))
        else:
            assert mean is None


def feed(run, values):
    """How many losses a run took before it ended."""
    optimizer = run.build(nn.Linear(1, 1), steps_per_epoch=100)
    for i, value in enumerate(values):
        try:
            run.loss(torch.tensor(value))
            optimizer.step()
        except Ended:
            return i
    return len(values)


@pytest.mark.parametrize(
    ("values", "took", "reason"),
    [
        ([1.0] * 10 + [math.nan] + [1.0] * 30, 15, "training loss is not finite by step 15"),
        ([1.0] * 16 + [11.0] * 16, 31, "training loss 11 is above 10 at step 31"),
        ([-1.0] * 16 + [8.5] * 16, 31, "training loss 8.5 is above 8 at step 31"),
        ([math.inf] + [1.0] * 5, 0, NOT_FINITE_AT_START),
        ([1.0] * 16 + [9.0] * 16, 32, None),
    ],
)
def test_a_run_that_diverges_ends_itself(values, took, reason):
    run, worker = make_run(recipe={"epochs": 1})
    assert feed(run, values) == took
    assert [message.reason for message in worker.of(Diverged)] == ([reason] if reason else [])


def test_a_report_finds_a_divergence_first():
    run, worker = make_run()
    run.loss(1.0)
    run.loss(math.nan)
    with pytest.raises(Ended, match="diverged"):
        run.report(val_loss=1.0)
    assert len(worker.of(Diverged)) == 1
    assert not worker.of(Report)


def test_a_metric_that_is_not_finite_is_the_workers_to_judge():
    run, worker = make_run()
    run.report(val_loss=math.nan, accuracy=torch.tensor([0.5]))
    run.report(val_loss=1.0)
    assert math.isnan(worker.of(Report)[0].metrics["val_loss"])


@pytest.mark.parametrize("value", [torch.ones(2), "x", None])
def test_a_loss_is_one_number(value):
    run, _ = make_run()
    with pytest.raises(TaskError, match="one number"):
        run.loss(value)
    with pytest.raises(TaskError, match=r"val_loss = .* one number"):
        run.report(val_loss=value)


LRS = tuple(1e-4 * FACTOR**i for i in range(60))
RAMP = {"kind": "range_test", "lrs": LRS}
RECIPE = {"optimizer": {"name": "sgd", "lr": LRS[0]}, "schedule": {"name": "constant"}}
RECIPE |= {"epochs": None, "steps": len(LRS)}


def ramp_of(run, values, *, before=True, micro=1, report=False):
    """Learning rates that the steps had."""
    model = nn.Linear(1, 1)
    groups = [{"params": [model.weight]}, {"params": [model.bias], "lr_scale": 0.1}]
    optimizer = run.build(groups, steps_per_epoch=7)
    lrs = []
    try:
        for _ in run.epochs():
            for _ in range(7):
                value = values[min(len(lrs), len(values) - 1)]
                if before:
                    for _ in range(micro):
                        run.loss(value)
                lrs.append([group["lr"] for group in optimizer.param_groups])
                optimizer.step()
                if not before:
                    run.loss(torch.tensor(value))
            if report:
                run.report(val_loss=1.0)
    except Ended:
        return lrs
    raise AssertionError("the ramp did not end the run")


@pytest.mark.parametrize("micro", [1, 3])
def test_a_ramp_goes_through_its_learning_rates_and_ends_itself(micro):
    run, worker = make_run(recipe=RECIPE, **RAMP)
    falling = [2.0 - 0.01 * i for i in range(60)]
    lrs = ramp_of(run, falling, micro=micro, report=True)
    assert [lr for lr, _ in lrs] == list(LRS)
    assert all(small == pytest.approx(0.1 * lr) for lr, small in lrs)
    readings, finished = worker.said[-2:]
    assert readings.lrs == LRS
    assert readings.losses == pytest.approx(falling)
    assert isinstance(finished, Finished)
    assert not worker.of(Report)
    with pytest.raises(Ended):
        run.loss(1.0)


def test_losses_that_come_after_the_step_belong_to_it():
    run, worker = make_run(recipe=RECIPE, **RAMP)
    falling = [2.0 - 0.01 * i for i in range(60)]
    ramp_of(run, falling, before=False)
    [readings] = worker.of(Readings)
    assert readings.lrs == LRS[:-1]
    assert readings.losses == pytest.approx(falling[:-1])


def test_a_ramp_ends_where_it_diverges():
    run, worker = make_run(recipe=RECIPE, **RAMP)
    losses = [1.0] * 20 + [5.0, 6.0, 7.0, 8.0]
    ramp_of(run, losses)
    [readings] = worker.of(Readings)
    assert readings.losses == tuple(losses[:23])
    assert has_ended(readings.losses)
    run, worker = make_run(recipe=RECIPE, **RAMP)
    ramp_of(run, [1.0, math.nan])
    assert worker.of(Readings)[0].losses == (1.0, math.inf)


def test_a_ramp_without_losses_fails_and_says_what_to_add():
    run, worker = make_run(recipe=RECIPE, **RAMP)
    optimizer = run.build(nn.Linear(1, 1), steps_per_epoch=7)
    optimizer.step()
    with pytest.raises(Ended, match="failed"):
        optimizer.step()
    assert "write run.loss(loss) before optimizer.step(), or" in worker.of(Failed)[0].error


@given(st.lists(st.integers(0, 3), min_size=4, max_size=30), st.data())
def test_readings_are_means_between_two_steps(counts, data):
    """Against a list of lists; a step without losses has no reading."""
    counts[0] = max(1, counts[0])
    ramp, expected = RampReadings(1000), []
    for step, count in enumerate(counts):
        values = [data.draw(st.floats(0.5, 1.0)) for _ in range(count)]
        for value in values:
            ramp.add(value)
        assert not ramp.stepped(float(step))
        if values:
            expected.append((float(step), sum(values) / count))
    assert list(zip(ramp.lrs, ramp.losses, strict=True)) == [
        (lr, pytest.approx(mean)) for lr, mean in expected
    ]


def test_a_script_that_ends_before_its_ramp_hands_over_what_it_has():
    run, worker = make_run(recipe=RECIPE, **RAMP)
    optimizer = run.build(nn.Linear(1, 1), steps_per_epoch=7)
    for _ in range(20):
        run.loss(1.0)
        optimizer.step()
    run._loop.finish()
    assert len(worker.of(Readings)[0].lrs) == 20
    assert len(worker.of(Finished)) == 1
