"""Two recipes have one fingerprint exactly where they train the same."""

import pytest

from lrsearch.recipe.fingerprint import fingerprint

SGD = {
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "schedule": {"name": "cosine"},
    "warmup": 0.05,
    "params": {"width": 8},
}


def changed(**fields):
    return {**SGD, **fields}


@pytest.mark.parametrize(
    "same",
    [
        changed(optimizer={"lr": 0.1, "momentum": 0.9, "name": "sgd", "nesterov": False}),
        changed(optimizer={**SGD["optimizer"], "fused": True, "weight_decay": 0}),
        changed(optimizer={**SGD["optimizer"], "lr": 0.1 + 1e-17}),
        changed(optimizer={**SGD["optimizer"], "lr": 0.30000000000000004 / 3}),
        changed(schedule={"name": "cosine", "eta_min": 0}),
        changed(params={"width": 8.0}),
        changed(seed=3, epochs=7, batch_size=64),
    ],
)
def test_what_trains_the_same_is_the_same(same):
    assert fingerprint(same) == fingerprint(SGD)


@pytest.mark.parametrize(
    "other",
    [
        changed(optimizer={**SGD["optimizer"], "lr": 0.1000001}),
        changed(optimizer={**SGD["optimizer"], "nesterov": True}),
        changed(optimizer={"name": "sgd", "lr": 0.1}),
        changed(schedule={"name": "cosine", "eta_min": 0.1}),
        changed(schedule={"name": "constant"}),
        changed(warmup=0.0),
        changed(params={}),
        changed(clip_norm=1.0),
        changed(groups=[{"match": "head", "lr_scale": 2.0}]),
    ],
)
def test_what_trains_otherwise_is_another(other):
    assert fingerprint(other) != fingerprint(SGD)


def test_a_batch_size_counts_where_it_is_not_the_tasks_own():
    sizes = {fingerprint(changed(batch_size=n), own_batch_size=False) for n in (16, 32)}
    assert len(sizes) == 2
