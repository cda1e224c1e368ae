"""Studies of thousands of trials, as rows, without training them."""

import math
import random

from sqlalchemy import insert, update
from tiny_studies import EPOCHS, STEPS_PER_EPOCH, VALIDATIONS, make_study

from lrsearch.recipe.recipe import Recipe
from lrsearch.storage.tables import curves, studies, trials
from lrsearch.trial.states import TrialState

#: Of torch, each with the learning rate about which its losses are low.
OPTIMIZERS = {
    "sgd": 0.1,
    "adamw": 1e-3,
    "adam": 1e-3,
    "nadam": 2e-3,
    "radam": 3e-3,
    "rmsprop": 1e-3,
    "adagrad": 1e-2,
    "adamax": 2e-3,
    "adadelta": 1.0,
    "adafactor": 1e-2,
    "asgd": 0.1,
}
SCHEDULES = ("constant", "cosine", "linear")
#: Epochs of a trial that was pruned, as a share of a whole run.
PRUNED_AT = 0.5
BATCH_SIZE = 64


def make_many(database, count, *, optimizers=("sgd", "adamw"), diverged=0.05, **changes):
    """A study of `count` ended trials, half of them pruned and a share diverged; with curves."""
    space = {
        "optimizers": {name: {} for name in optimizers},
        "schedules": {name: {} for name in SCHEDULES},
    }
    search = make_study(
        database, **{"space": space, "budget": {"trials": max(1, count)}, **changes}
    )
    rng = random.Random(count)
    rows = [_trial(search.study_id, i, optimizers, diverged, rng) for i in range(count)]
    used = {"trials_used": count, "trials_ended": count, "first_ask_at": 1e9}
    with database.begin() as connection:
        if rows:
            connection.execute(insert(trials), rows)
            connection.execute(insert(curves), [row for trial in rows for row in _curve(trial)])
        here = studies.c.study_id == search.study_id
        connection.execute(update(studies).where(here).values(used))
    return search


def _trial(study_id, i, optimizers, diverged, rng):
    name, schedule = rng.choice(optimizers), rng.choice(SCHEDULES)
    decades = rng.uniform(-2, 2)
    optimizer = {"name": name, "lr": OPTIMIZERS[name] * 10**decades}
    recipe = {"optimizer": optimizer, "epochs": EPOCHS, "batch_size": BATCH_SIZE}
    value = 0.1 + 0.2 * decades**2 * rng.lognormvariate(0, 0.3) + 0.05 * rng.random()
    state = TrialState.PRUNED if value > 0.3 and rng.random() < 0.7 else TrialState.COMPLETE
    if rng.random() < diverged:
        state = TrialState.DIVERGED
    scored = state != TrialState.DIVERGED
    share = 1.0 if state == TrialState.COMPLETE else PRUNED_AT
    return {
        "id": 1_000_000 * study_id + i,
        "study_id": study_id,
        "ticket": i + 1,
        "number": i,
        "kind": "sampled",
        "recipe": Recipe.from_dict({**recipe, "schedule": schedule}).to_dict(),
        "state": state,
        "worker": f"host:{i % 4}:1",
        "attempt": 1,
        "value": value if scored else None,
        "best_validation": VALIDATIONS if scored else None,
        "metrics": {"mae": value / 2} if scored else None,
        "reason": None if scored else "training loss 34 is above 23 at step 3",
        "epochs": EPOCHS * share,
        "seconds": 2.0 * share,
        "started_at": 1e9 + i,
        "ended_at": 1e9 + i + 2.0 * share,
        "ended": i + 1,
    }


def _curve(trial):
    for validation in range(1, round(VALIDATIONS * trial["epochs"] / EPOCHS) + 1):
        loss = None
        if trial["value"] is not None:
            loss = trial["value"] + math.exp(-3 * validation / VALIDATIONS)
        yield {
            "trial": trial["id"],
            "attempt": 1,
            "validation": validation,
            "step": validation * EPOCHS * STEPS_PER_EPOCH // VALIDATIONS,
            "epoch": validation * EPOCHS / VALIDATIONS,
            "lr": trial["recipe"]["optimizer"]["lr"],
            "train_loss": loss,
            "val_loss": loss,
            "val_loss_ema": None,
            "metrics": {"mae": 0.5},
            "metrics_ema": None,
            "grad_norm": 1.0,
            "seconds": 0.25 * validation,
        }
