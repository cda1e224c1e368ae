"""Where the reports of a user's process stand in a trial: rungs, the last one, divergence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.training import Purpose
from lrsearch.worker.user_process.training import ProcessTraining, Reported

SGD = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "constant"}}


def training(epochs=10, metric="val_loss", **fields):
    objective = {"metric": metric, "direction": "minimize"}
    content = {"name": "own", "train": "t.py:train", "epochs": epochs, "budget": {"runs": 9}}
    spec = StudySpec.from_dict({**content, "objective": objective, **fields})
    recipe = Recipe.from_dict({**SGD, "epochs": epochs})
    return ProcessTraining(spec, recipe, Purpose(), Path("folder"))


def report(made, epoch, **metrics):
    made.waiting = Reported(step=round(100 * epoch), epoch=epoch, metrics=metrics)
    return made.conclude()


def rungs_of(made, epochs):
    for epoch in epochs:
        report(made, epoch, val_loss=1.0)
    return {validation: made.rung_of(validation) for validation in range(1, made.validated + 1)}


def test_a_rung_is_decided_at_the_first_report_that_has_come_to_it():
    """3 of 10 epochs are at the rung of 33 %, and the first is at those of 4 and 11 %."""
    found = rungs_of(training(), range(1, 11))
    assert {number for number, rung in found.items() if rung is not None} == {1, 3}
    assert (found[1], found[3]) == (1, 2)


def test_a_report_that_passes_several_rungs_is_the_deepest_of_them():
    assert rungs_of(training(epochs=2), [1, 2]) == {1: 2, 2: None}


@given(st.integers(1, 60), st.integers(1, 4))
def test_each_rung_is_decided_once_and_never_at_the_end(epochs, each):
    made = training(epochs=epochs)
    found = rungs_of(made, [count / each for count in range(1, epochs * each + 1)])
    decided = [rung for rung in found.values() if rung is not None]
    assert decided == sorted(set(decided))
    assert found[made.validated] is None
    assert made.is_last(made.validated)
    assert made.progress == 1.0


@pytest.mark.parametrize(
    ("metric", "values", "said"),
    [
        ("val_loss", {"val_loss": float("nan")}, "val_loss is nan at step 100"),
        ("perplexity", {"perplexity": float("inf")}, "perplexity is inf at step 100"),
        ("perplexity", {"perplexity": 2.0, "val_loss": float("nan")}, "val_loss is nan"),
        ("perplexity", {"perplexity": 2.0, "other": float("nan")}, None),
    ],
)
def test_an_objective_that_is_not_finite_is_a_divergence(metric, values, said):
    made = training(metric=metric)
    row = report(made, 1, **values)
    assert row.validation == 1
    if said is None:
        assert made.diverged is None
    else:
        assert made.diverged is not None
        assert made.diverged.startswith(said)


def test_metrics_are_those_of_the_deployed_weights():
    recipe = Recipe.from_dict({**SGD, "epochs": 4, "ema": {"epochs": 1.0}, "weights": "ema"})
    made = training()
    averaged = ProcessTraining(made.spec, recipe, Purpose(), Path("folder"))
    averaged.waiting = Reported(
        step=1,
        epoch=1.0,
        metrics={"val_loss": 2.0, "accuracy": 0.5},
        metrics_ema={"val_loss": 1.0, "accuracy": 0.7},
    )
    row = averaged.conclude()
    assert (row.val_loss, row.val_loss_ema) == (2.0, 1.0)
    assert (row.metrics, row.metrics_ema) == ({"accuracy": 0.7}, {"accuracy": 0.7})
