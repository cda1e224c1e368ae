"""Tasks whose loss is a function of the model and a batch, beside the same as a loss of outputs."""

from dataclasses import replace

import pytest
import torch
from small import (
    CPU,
    STEPS_PER_EPOCH,
    TRAIN,
    VALIDATION,
    make_recipe,
    make_task,
    make_training,
    run,
)
from torch import nn
from torch.nn.functional import cross_entropy
from trained_together import (
    alone,
    difference,
    doubled,
    drive,
    make_cohort,
    no_dropout,
    with_dropout,
)

from lrsearch.training import checkpoint_state
from lrsearch.training.data import make_splits
from lrsearch.training.timing.probe import probe


def step(model, batch):
    inputs, targets = batch
    return cross_entropy(model(inputs), targets)


def score(model, batch):
    inputs, targets = batch
    output = model(inputs)
    right = (output.argmax(1) == targets).sum()
    total = cross_entropy(output, targets, reduction="sum")
    return {"val_loss": (total, len(targets)), "accuracy": (right, len(targets))}


@pytest.mark.parametrize("how", [{"step": step}, {"step": step, "score": score}])
def test_a_step_task_trains_as_the_loss_that_it_computes(how):
    plain = make_training()
    expected = run(plain)
    task = make_training(task=make_task(loss=None, metrics={}, **how))
    rows = run(task)
    for mine, theirs in zip(task.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(rows, expected, strict=True):
        assert mine.train_loss == theirs.train_loss
        assert mine.val_loss == pytest.approx(theirs.val_loss, rel=1e-6)
        assert mine.val_loss_ema == pytest.approx(theirs.val_loss_ema, rel=1e-6)
        if "score" in how:
            assert mine.metrics == pytest.approx(theirs.metrics)


class Counts(nn.Module):
    """A model of words that goes on from where the batch before it ended."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, inputs, state):
        hidden, state = self.cell(inputs[None], state)
        return self.out(hidden[0]), state


def carried_step(model, batch, state):
    inputs, targets = batch
    output, state = model(inputs, state)
    return cross_entropy(output, targets), state


def in_order(tensors):
    dataset = torch.utils.data.TensorDataset(*tensors)
    return lambda: torch.utils.data.DataLoader(dataset, batch_size=16, drop_last=True)


def carried_task():
    return replace(
        make_task(),
        model=Counts,
        train=in_order(TRAIN),
        validation=in_order(VALIDATION),
        loss=None,
        metrics={},
        step=carried_step,
        carry=lambda model: torch.zeros(1, 1, 8),
    )


def by_hand(epochs):
    """The same with a plain loop: weights, validation losses."""
    torch.manual_seed(0)
    model = Counts()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(epochs):
        state = torch.zeros(1, 1, 8)
        model.train()
        for inputs, targets in in_order(TRAIN)():
            optimizer.zero_grad()
            output, state = model(inputs, state)
            cross_entropy(output, targets).backward()
            optimizer.step()
            state = state.detach()
        model.eval()
        state, total, count = torch.zeros(1, 1, 8), 0.0, 0
        with torch.no_grad():
            for inputs, targets in in_order(VALIDATION)():
                output, state = model(inputs, state)
                total += cross_entropy(output, targets).item() * len(targets)
                count += len(targets)
        losses.append(total / count)
    return model.state_dict(), losses


def test_what_is_carried_goes_from_batch_to_batch_and_starts_anew_each_epoch():
    training = make_training(make_recipe(epochs=3), carried_task())
    rows = run(training)
    weights, losses = by_hand(3)
    for name, value in training.model.state_dict().items():
        assert torch.equal(value, weights[name])
    assert [row.val_loss for row in rows] == pytest.approx(losses, rel=1e-6)


@pytest.mark.parametrize("stop", [STEPS_PER_EPOCH + 2, 2 * STEPS_PER_EPOCH])
def test_a_resumed_trial_goes_on_with_what_was_carried(stop):
    recipe = make_recipe(epochs=3)
    whole = make_training(recipe, carried_task())
    run(whole)
    first = make_training(recipe, carried_task())
    run(first, until=stop)
    data = checkpoint_state.pack(first)
    second = make_training(recipe, carried_task())
    assert checkpoint_state.unpack(second, data) is not None
    run(second)
    for mine, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("model", [no_dropout, with_dropout])
@pytest.mark.parametrize("how", [{"step": step}, {"step": step, "score": score}])
def test_step_tasks_in_a_cohort_equal_the_same_by_themselves(model, how):
    task = replace(doubled(model), loss=None, metrics={}, **how)
    recipes = [make_recipe(optimizer={"name": "sgd", "lr": lr}) for lr in (0.02, 0.05, 0.1)]
    cohort = make_cohort(3, task=task)
    for (mine, rows), (theirs, expected) in zip(
        drive(cohort, recipes), alone(recipes, task=task), strict=True
    ):
        assert difference(mine.kept, theirs.kept) < 1e-12
        assert [row.val_loss for row in rows] == pytest.approx(
            [row.val_loss for row in expected], rel=1e-12
        )
        assert [row.metrics for row in rows] == [row.metrics for row in expected]


def test_the_probe_finds_that_a_step_task_can_be_fused():
    task = replace(doubled(), loss=None, metrics={}, step=step, score=score)
    found = probe(task, make_recipe(), make_splits(task, 16, CPU), CPU)
    assert found.fits, found.reason
    assert found.error < 1e-9


def test_the_probe_refuses_what_carries_a_state():
    task = carried_task()
    found = probe(task, make_recipe(), make_splits(task, 16, CPU), CPU)
    assert found.reason == "the task carries a state from batch to batch"
