"""A task that trains in milliseconds, with everything that makes resuming hard: batch
normalisation, dropout, a partial last batch in training and in validation."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.data import make_splits
from lrsearch.training.solo import SoloTraining
from lrsearch.trial.validations import make_plan

CPU = torch.device("cpu")
BATCH_SIZE = 16
FEATURES, CLASSES = 6, 3


def make_model():
    return nn.Sequential(
        nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, CLASSES)
    )


def make_tensors(samples, seed):
    """Three classes that overlap, so that the loss does not only fall."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, FEATURES, generator=generator)
    noise = torch.randn(samples, CLASSES, generator=generator)
    return inputs, (inputs[:, :CLASSES] + noise).argmax(1)


TRAIN = make_tensors(99, seed=1)  # 6 batches of 16, 3 samples left over
VALIDATION = make_tensors(150, seed=2)  # one validation batch of 128, one of 22
STEPS_PER_EPOCH = 6
EPOCHS = 4


def accuracy(output, target):
    return (output.argmax(1) == target).float().mean()


def make_task(**changes):
    fields = {
        "model": make_model,
        "train": TRAIN,
        "validation": VALIDATION,
        "loss": cross_entropy,
        "metrics": {"accuracy": accuracy},
        "batch_size": BATCH_SIZE,
    }
    return Task(**{**fields, **changes})


def make_recipe(**changes):
    fields = {"optimizer": {"name": "sgd", "lr": 0.05}, "epochs": EPOCHS, "ema": {"epochs": 1.0}}
    return Recipe.from_dict({**fields, **changes})


def make_training(recipe=None, task=None, recordings=None, compiled=None, **validate):
    """A fresh trial; `validate` is validate_steps or validate_fraction."""
    recipe, task = recipe or make_recipe(), task or make_task()
    splits = make_splits(task, task.batch_size, CPU)
    steps_per_epoch = splits[0].batches // recipe.accumulate
    plan = make_plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=recipe.total_steps(steps_per_epoch),
        **validate,
    )
    return SoloTraining(task, recipe, plan, splits, CPU, recordings, compiled)


def run(training, until=None, chunk=None):
    """Train to the step `until` (default: the end), `chunk` steps at a time; the validations."""
    until = training.plan.total_steps if until is None else until
    rows = []
    while training.step < until and not training.done:
        goal = min(training.next_validation, until)
        training.advance(min(goal, training.step + (chunk or goal)))
        if training.step == training.next_validation and training.diverged is None:
            rows.append(training.validate(with_ema=True))
    return rows
