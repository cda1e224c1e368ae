"""`lrsearch.run` in a loop: optimizer and schedule, reports, losses, ends."""

import pytest
import torch
from fake_worker import FakeWorker, ends_at, make_run
from torch import nn

from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.messages import Boundary, Built, Report

STEPS = 4


def train(run, *, report=True, loss=True):
    """A loop as users write it; its learning rates, step by step."""
    torch.manual_seed(run.seed)
    model = nn.Linear(3, 1)
    optimizer = run.build(model, steps_per_epoch=STEPS)
    lrs = []
    for _ in run.epochs():
        for _ in range(STEPS):
            x = torch.randn(8, 3)
            optimizer.zero_grad()
            value = (model(x) - x.sum(1, keepdim=True)).square().mean()
            value.backward()
            if loss:
                run.loss(value)
            lrs.append(run.lr)
            optimizer.step()
        if report:
            run.report(val_loss=value, accuracy=0.5)
    return lrs


def test_a_run_says_what_it_does():
    run, worker = make_run()
    lrs = train(run)
    assert lrs[0] == 0.1
    assert lrs == sorted(lrs, reverse=True)
    assert worker.of(Built) == [Built(steps_per_epoch=STEPS, total_steps=3 * STEPS)]
    assert [(r.step, r.epoch) for r in worker.of(Report)] == [(4, 1.0), (8, 2.0), (12, 3.0)]
    assert [(b.step, b.epoch) for b in worker.of(Boundary)] == [(4, 1.0), (8, 2.0)]
    last = worker.of(Report)[-1]
    assert last.lr == lrs[-1]
    assert last.start_loss > last.train_loss > 0
    assert last.metrics["accuracy"] == 0.5
    assert worker.hints == []


def test_the_mean_loss_is_that_since_the_last_report():
    run, worker = make_run()
    for value in (1.0, 3.0):
        run.loss(torch.tensor(value, requires_grad=True))
    run.report(val_loss=1.0)
    run.loss(5.0)
    run.report(val_loss=1.0)
    assert [r.train_loss for r in worker.of(Report)] == [2.0, 5.0]
    assert worker.of(Report)[-1].start_loss == 1.0


def calls_of(run, optimizer):
    return {
        "report": lambda: run.report(val_loss=1.0),
        "loss": lambda: run.loss(1.0),
        "epochs": lambda: next(iter(run.epochs())),
        "steps": lambda: next(iter(run.steps())),
        "step": optimizer.step,
        "average": lambda: run.average().__enter__(),
        "build": lambda: run.build(nn.Linear(1, 1), steps_per_epoch=1, role="other"),
    }


@pytest.mark.parametrize("name", calls_of(None, torch.optim.SGD([torch.zeros(1)])))
def test_every_call_raises_once_the_run_is_over(name):
    run, _ = make_run(FakeWorker(ends_at(1)))
    optimizer = run.build(nn.Linear(1, 1), steps_per_epoch=1)
    call = calls_of(run, optimizer)[name]
    for attempt in (lambda: run.report(val_loss=1.0), call, call):
        with pytest.raises(Ended) as ended:
            attempt()
        assert ended.value.reason == "pruned"
    assert not isinstance(ended.value, Exception)


def train_whatever_comes(run, bodies):
    optimizer = run.build(nn.Linear(1, 1), steps_per_epoch=2)
    for epoch in run.epochs():
        bodies.append(epoch)
        for _ in range(2):
            try:
                optimizer.step()
                run.report(val_loss=1.0)
            except BaseException:
                pass


def test_a_loop_that_swallows_everything_ends_all_the_same():
    run, worker = make_run(FakeWorker(ends_at(2)), recipe={"epochs": 50})
    bodies = []
    with pytest.raises(Ended):
        train_whatever_comes(run, bodies)
    assert bodies == [0]
    assert len(worker.of(Report)) == 2


def test_epochs_count_from_a_number_of_the_scripts():
    run, worker = make_run()
    seen = []
    epoch = best = 0
    model = nn.Linear(3, 1)
    optimizer = run.build(model, steps_per_epoch=1)
    for epoch in run.epochs(start=1):
        seen.append((epoch, run.epoch))
        optimizer.step()
        best += 2
    assert seen == [(1, 0), (2, 1), (3, 2)]
    assert [boundary.epoch for boundary in worker.of(Boundary)] == [1.0, 2.0]
    assert [hint.split()[0] for hint in worker.hints] == ["best"], (epoch, best)


def test_the_number_of_a_step_is_no_value_that_the_loop_replaces():
    recipe = {"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": None, "steps": 6}
    run, worker = make_run(recipe=recipe)
    step = best = 0
    model = nn.Linear(3, 1)
    optimizer = run.build(model, steps_per_epoch=2)
    for step in run.steps():  # noqa: B007
        optimizer.step()
        best += 2
    assert [hint.split()[0] for hint in worker.hints] == ["best"], (step, best)
