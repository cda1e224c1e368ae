"""Tasks of many kinds, each beside the same training in a plain loop of torch."""

import math

import finetune
import graph
import language
import masked
import pytest
import segmentation
import siamese
import small
import stream
import torch
import vae
from trained_together import alone, difference, drive, make_cohort

from lrsearch.training import checkpoint_state
from lrsearch.training.data import make_splits
from lrsearch.training.timing.probe import probe

EPOCHS, LR = 3, 0.02
KINDS = {
    "vae": vae,
    "graph": graph,
    "siamese": siamese,
    "masked": masked,
    "language": language,
    "finetune": finetune,
    "segmentation": segmentation,
    "stream": stream,
}
#: Kinds that a cohort cannot train, and what the probe says of them.
ALONE = {
    "graph": "sparse",
    "masked": "padding_idx",
    "language": "the task carries a state from batch to batch",
}
each_kind = pytest.mark.parametrize("name", KINDS)


def make_recipe(task, lr=LR):
    """As a study makes it, which takes the task's rules for parameter groups over."""
    groups = {} if task.groups is None else {"groups": task.groups}
    return small.make_recipe(
        optimizer={"name": "sgd", "lr": lr}, epochs=EPOCHS, batch_size=None, **groups
    )


def make_training(name):
    task = KINDS[name].task()
    return small.make_training(make_recipe(task), task)


@each_kind
def test_it_trains_as_a_plain_loop_does(name):
    weights, losses = KINDS[name].by_hand(EPOCHS, LR)
    training = make_training(name)
    rows = small.run(training)
    for key, value in training.model.state_dict().items():
        assert torch.equal(value.to_dense(), weights[key].to_dense()), key
    assert [row.val_loss for row in rows] == pytest.approx(losses, rel=1e-5)
    assert all(math.isfinite(row.val_loss_ema) for row in rows)
    assert losses[-1] < losses[0]


@each_kind
def test_interrupted_in_an_epoch_and_resumed_it_is_the_same(name):
    whole = make_training(name)
    rows = small.run(whole)
    first = make_training(name)
    kept = small.run(first, until=whole.plan.steps_per_epoch + 2)
    data = checkpoint_state.pack(first)
    second = make_training(name)
    assert checkpoint_state.unpack(second, data) is not None
    kept += small.run(second)
    for mine, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert [(row.val_loss, row.val_loss_ema) for row in kept] == [
        (row.val_loss, row.val_loss_ema) for row in rows
    ]


@each_kind
def test_a_cohort_gives_the_same_or_says_why_not(name):
    task = KINDS[name].task()
    splits = make_splits(task, task.batch_size, small.CPU)
    found = probe(task, make_recipe(task), splits, small.CPU)
    if name in ALONE:
        assert not found.fits
        assert ALONE[name] in found.reason.lower()
        return
    assert found.fits, found.reason
    recipes = [make_recipe(task, lr) for lr in (LR, LR / 2, LR / 4)]
    together = drive(make_cohort(3, task=task, recipe=recipes[0]), recipes)
    for (mine, rows), (theirs, expected) in zip(together, alone(recipes, task=task), strict=True):
        assert difference(mine.kept, theirs.kept) < 1e-4  # in float32
        assert [row.val_loss for row in rows] == pytest.approx(
            [row.val_loss for row in expected], rel=1e-4
        )
