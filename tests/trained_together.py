"""Trials of the small task in a cohort, and the same by themselves."""

import torch
from small import CPU, EPOCHS, make_recipe, make_task
from torch import nn

from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedTask
from lrsearch.training.engine import SoloEngine
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training import wants_average


def make_cache(task):
    return TaskCache(LoadedTask(reference="small:task", source=None, target=task, code={}), CPU)


def make_spec(epochs=EPOCHS, **changes):
    fields = {
        "name": "small",
        "task": "small.py:task",
        "epochs": epochs,
        "budget": {"trials": 8},
        "pruning": {"rungs": [0.25]},
    }
    return StudySpec.from_dict({**fields, **changes})


def make_cohort(size, task=None, recipe=None, **spec):
    recipe = recipe or make_recipe()
    return Cohort(
        make_spec(epochs=recipe.epochs, **spec), make_cache(task or make_task()), recipe, size
    )


def drive(engine, recipes, stop=lambda engine: False):
    """Train recipes through an engine until all have ended; (slot, its rows) of each in order."""
    waiting, trained = list(enumerate(recipes)), {}
    while (waiting or engine.trainings) and not stop(engine):
        while waiting and engine.may_join():
            number, recipe = waiting.pop(0)
            trained[number] = (engine.admit(recipe), [])
        advance(engine, list(trained.values()))
    return [trained[number] for number in sorted(trained)]


def advance(engine, trained, steps=1000):
    """To the next validation or end of an epoch; those at their end leave."""
    engine.advance(steps)
    due = engine.due()
    rows = engine.validate(due, with_ema=wants_average) if due else []
    for training, row in zip(due, rows, strict=True):
        next(mine for other, mine in trained if other is training).append(row)
    for training in list(engine.trainings):
        if training.done:
            training.kept = numbers(training)
            engine.drop(training)


def alone(recipes, task=None, **spec):
    """The same trials by themselves."""
    engine = SoloEngine(
        make_spec(epochs=recipes[0].epochs, **spec), make_cache(task or make_task())
    )
    return drive(engine, recipes)


def numbers(training):
    """Copies of weights, buffers and averages."""
    average = [] if training.ema is None else list(training.ema.weights().values())
    values = [*training.model.state_dict().values(), *average]
    return [value.detach().clone() for value in values]


def difference(a, b):
    """Largest relative L2 difference between the weights, buffers and averages of two trials."""
    return max(
        float((x.double() - y.double()).norm() / y.double().norm().clamp(min=1e-30))
        for x, y in zip(a, b, strict=True)
    )


def no_dropout():
    """The small model, whose trials may join at any epoch.

    A bias before the normalisation would have gradients of rounding alone, which Adam divides by
    themselves.
    """
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def with_dropout():
    return nn.Sequential(
        nn.Linear(6, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(8, 3),
    )


def doubled(model=no_dropout):
    """The small task in float64."""
    whole = make_task()
    return make_task(
        model=lambda: model().double(),
        train=(whole.train[0].double(), whole.train[1]),
        validation=(whole.validation[0].double(), whole.validation[1]),
    )


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
