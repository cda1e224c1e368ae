"""LR ramps in training: the trials' own loop, on digits beside recorded trials."""

import gzip
import json
import math
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from small import make_task
from torch import nn
from torch.nn.functional import cross_entropy

from lrsearch.range_test.plan import ramp_plan
from lrsearch.range_test.reading import FACTOR
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedTask, Task
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.range_test import RangeTraining, start_ramp
from lrsearch.training.start import start_training
from lrsearch.training.task_cache import TaskCache

CPU = torch.device("cpu")
#: 200 of 2,000 recorded trials: config and final values.
RECORDED = Path(__file__).parents[1] / "data" / "digits_mlp_finals.jsonl.gz"


def spec_of(**changes):
    content = {"name": "a", "task": "a.py:b", "epochs": 4, "budget": {"trials": 9}, "seed": 5}
    return StudySpec.from_dict({**content, **changes})


def cache_of(task):
    return TaskCache(LoadedTask(reference="", source=Path(), target=task, code={}), CPU)


def training_of(task, optimizer="sgd", stop=lambda: False, **changes):
    spec = spec_of(**changes)
    return RangeTraining(spec, ramp_plan(spec, optimizer), cache_of(task), stop)


def test_lr_rises_by_the_factor_and_everything_else_is_a_trials():
    spec, task = spec_of(ema="none"), make_task()
    plan, cache = ramp_plan(spec, "sgd"), cache_of(task)
    ramp = RangeTraining(spec, plan, cache, lambda: False).train_ramp()
    assert ramp.seed == 5
    assert ramp.lrs == pytest.approx(plan.lrs[: len(ramp.lrs)], rel=1e-9)
    assert ramp.lrs[1] / ramp.lrs[0] == pytest.approx(FACTOR)
    # lr does not move the first loss: weights, batch and dropout are those of a trial.
    recipe = spec.recipe({"optimizer": {**plan.optimizer, "lr": 0.1}}, batch_size=None)
    trial = start_training(spec, recipe, cache)
    trial.advance(1)
    assert ramp.losses[0] == trial.start_loss
    training = start_ramp(spec, plan, cache, seed=6)
    training.advance(1)
    assert training.start_loss != trial.start_loss


def test_a_ramp_is_the_same_twice():
    first, second = (training_of(make_task(), "adamw").train_ramp() for _ in range(2))
    assert first == second


def test_a_ramp_ends_where_it_diverges():
    training = training_of(make_task(), space={"optimizers": {"sgd": {"lr": 0.1}}})
    training.plan = ramp_plan(
        spec_of(space={"optimizers": {"sgd": {"lr": {"low": 1e-3, "high": 1e6, "log": True}}}}),
        "sgd",
    )
    ramp = training.train_ramp()
    assert len(ramp.lrs) < len(training.plan.lrs)
    assert training.epochs == pytest.approx(len(ramp.lrs) / 6)


def test_a_stop_ends_it_within_a_step():
    asked = iter([False, False, True])
    training = training_of(make_task(), stop=lambda: next(asked))
    assert training.run(3) is None
    assert training.epochs == pytest.approx(2 / 6)
    assert training.ramps == []


def test_exactly_so_many_seeds_are_trained():
    result = training_of(make_task()).run(2, exactly=True)
    assert [ramp.seed for ramp in result.ramps] == [5, 6]


def test_what_a_failing_task_trained_is_counted():
    calls = iter(range(10))

    def loss(output, target):
        if next(calls) == 8:
            raise ValueError("no")
        return cross_entropy(output, target)

    training = training_of(make_task(loss=loss))
    with pytest.raises(TrialFailedError, match="ValueError: no"):
        training.run(1)
    assert training.epochs == pytest.approx(8 / 6)


def digits():
    pixels, classes = load_digits(return_X_y=True)
    data = torch.tensor(pixels / 16, dtype=torch.float32)[:800], torch.tensor(classes)[:800]
    return Task(
        model=lambda: nn.Sequential(
            nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 10)
        ),
        train=data,
        validation=data,
        loss=cross_entropy,
        batch_size=32,
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_window_on_digits_holds_the_best_recorded_trials(optimizer):
    rows = [json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).splitlines()]
    found = []
    for config, final in ((row["config"], row["final"]) for row in rows):
        if config["opt"] == optimizer:
            scale = 0.1 / config["one_minus_mom"] if optimizer == "sgd" else 1.0
            loss = math.inf if final["val_loss"] is None else final["val_loss"]
            found.append((loss, config["lr"] * scale))
    best = [lr for _, lr in sorted(found)[: len(found) // 10]]
    result = training_of(digits(), optimizer).run(5)
    low, high = result.window
    assert sum(low <= lr <= high for lr in best) >= len(best) - 1
    assert sum(low <= lr <= high for _, lr in found) <= 0.65 * len(found)
