"""`with run.average():`: the weight average of a task's trial, and what is reported inside."""

import copy

import pytest
import torch
from fake_worker import make_run
from small import make_model

from lrsearch.own_loop.messages import Report
from lrsearch.training.ema import Ema

EMA = {"ema": {"epochs": 1.0}}


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.randn(8, 6)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("given", ["model", "parameters", "groups"])
def test_it_is_the_average_of_a_trial(given):
    torch.manual_seed(0)
    model = make_model()
    run, _ = make_run(recipe=EMA)
    what = {
        "model": lambda: model,
        "parameters": lambda: model.parameters(),
        "groups": lambda: [{"params": [p]} for p in model.parameters()],
    }[given]()
    optimizer = run.build(what, steps_per_epoch=4)
    expected = Ema(model, span=4)
    for _ in range(6):
        step(model, optimizer)
        expected.update()
    before = copy.deepcopy(model.state_dict())
    with run.average() as averaged:
        assert averaged
        torch.testing.assert_close(model.state_dict(), expected.weights(), rtol=0, atol=0)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_training_goes_on_as_if_no_average_had_been_looked_at():
    curves = []
    for looks in (False, True):
        torch.manual_seed(0)
        model = make_model()
        run, _ = make_run(recipe=EMA)
        optimizer = run.build(model, steps_per_epoch=4)
        for _ in range(5):
            step(model, optimizer)
            if looks:
                with run.average():
                    model(torch.randn(8, 6))  # draws, and moves the statistics of batch norm
        curves.append(model.state_dict())
    torch.testing.assert_close(*curves, rtol=0, atol=0)


def test_what_is_reported_inside_comes_with_the_next_report():
    run, worker = make_run(recipe=EMA)
    optimizer = run.build(make_model(), steps_per_epoch=4)
    optimizer.step()
    with run.average():
        run.report(val_loss=0.5)
    assert not worker.of(Report)
    run.report(val_loss=0.75)
    run.report(val_loss=0.75)
    assert [(r.metrics, r.metrics_ema) for r in worker.of(Report)] == [
        ({"val_loss": 0.75}, {"val_loss": 0.5}),
        ({"val_loss": 0.75}, None),
    ]


def test_without_an_average_nothing_is_said_of_one():
    run, worker = make_run()
    run.build(make_model(), steps_per_epoch=4)
    with run.average() as averaged:
        assert not averaged
        run.report(val_loss=0.5)
    run.report(val_loss=0.75)
    assert worker.of(Report)[0].metrics_ema is None


def test_an_error_inside_leaves_the_weights_as_they_were():
    model = make_model()
    run, _ = make_run(recipe=EMA)
    optimizer = run.build(model, steps_per_epoch=4)
    step(model, optimizer)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ZeroDivisionError), run.average():
        1 / 0  # noqa: B018
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
