"""A plateau schedule that follows the objective in place of the validation loss."""

import pytest
import torch
from small import BATCH_SIZE, CPU, TRAIN, VALIDATION, accuracy, make_model, make_task
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau
from trained_together import alone, drive, make_cache, make_cohort, make_spec

from lrsearch.export import export
from lrsearch.training.conclude import conclude
from lrsearch.training.evaluate import Evaluation
from lrsearch.training.start import start_training

EPOCHS, LR = 12, 0.3
ACCURACY = {"metric": "accuracy", "direction": "maximize"}
PLATEAU = {"name": "plateau", "patience": 0.0, "factor": 0.5, "metric": "objective"}


def recipe_of(spec, **schedule):
    fields = {"optimizer": {"name": "sgd", "lr": LR, "fused": False}, "seed": 0}
    fields["schedule"] = {**PLATEAU, **schedule}
    return spec.recipe(fields, batch_size=BATCH_SIZE)


def spec_of(**changes):
    return make_spec(epochs=EPOCHS, objective=ACCURACY, validate_every="epoch", **changes)


def lrs_of(spec, **schedule):
    recipe = recipe_of(spec, **schedule)
    [(_, rows)] = alone([recipe], validate_every="epoch", objective=spec.objective.model_dump())
    return [row.lr for row in rows], rows


def plain(score, mode):
    """The learning rate of each epoch, as a torch user writes it."""
    torch.manual_seed(0)
    model = make_model()
    optimizer = SGD(model.parameters(), lr=LR)
    scheduler = ReduceLROnPlateau(optimizer, mode=mode, factor=0.5, patience=0, threshold=0)
    lrs = []
    for epoch in range(EPOCHS):
        model.train()
        order = torch.randperm(len(TRAIN[0]), generator=torch.Generator().manual_seed(epoch))
        for step in range(len(order) // BATCH_SIZE):
            batch = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
            optimizer.zero_grad()
            cross_entropy(model(TRAIN[0][batch]), TRAIN[1][batch]).backward()
            optimizer.step()
        lrs.append(optimizer.param_groups[0]["lr"])
        model.eval()
        with torch.no_grad():
            scheduler.step(float(score(model(VALIDATION[0]), VALIDATION[1])))
    return lrs


def test_it_equals_torchs_scheduler_on_the_metric():
    lrs, rows = lrs_of(spec_of())
    each_epoch = {row.epoch: row.lr for row in rows}
    assert [each_epoch[epoch] for epoch in range(1, EPOCHS + 1)] == plain(accuracy, "max")
    assert len(set(lrs)) > 2


def test_it_differs_from_the_default_which_is_the_loss():
    followed, _ = lrs_of(spec_of())
    default, rows = lrs_of(spec_of(), metric="val_loss")
    each_epoch = {row.epoch: row.lr for row in rows}
    assert [each_epoch[epoch] for epoch in range(1, EPOCHS + 1)] == plain(cross_entropy, "min")
    assert followed != default


def test_a_cohort_follows_it_too():
    spec = spec_of()
    recipes = [recipe_of(spec), recipe_of(spec, factor=0.3)]
    together = drive(make_cohort(2, recipe=recipes[0], objective=ACCURACY), recipes)
    apart = alone(recipes, objective=ACCURACY)
    for (_, rows), (_, expected) in zip(together, apart, strict=True):
        assert [row.lr for row in rows] == [row.lr for row in expected]


def test_an_objective_that_is_the_loss_is_that_of_the_deployed_weights():
    spec = make_spec(epochs=EPOCHS, ema={"epochs": 2.0, "deploy": True}, validate_every="epoch")
    training, seen = start_training(spec, recipe_of(spec), make_cache(make_task())), []
    training.scheduler.step = seen.append
    raw, averaged = (Evaluation(loss=loss, metrics={}) for loss in (1.0, 2.0))
    conclude(training, raw, averaged)
    assert seen[-1] == 2.0
    assert training.device == CPU


@pytest.mark.parametrize("metric", ["accuracy", "val_loss"])
def test_a_script_follows_what_the_trial_followed(metric):
    direction = "maximize" if metric == "accuracy" else "minimize"
    spec = make_spec(epochs=EPOCHS, objective={"metric": metric, "direction": direction})
    text = export(
        recipe_of(spec),
        "torch",
        study="s",
        trial_number=1,
        steps_per_epoch=6,
        value=1.0,
        metric=metric,
        versions={},
    ).text
    module = {}
    exec(compile(text, "exported", "exec"), module)
    _, rows = module["train"](make_model, TRAIN, VALIDATION, cross_entropy, {"accuracy": accuracy})
    score, mode = (accuracy, "max") if metric == "accuracy" else (cross_entropy, "min")
    assert [row["lr"] for row in rows] == plain(score, mode)
