"""How many validation samples rungs take that no epoch ends near."""

import pytest

from lrsearch.trial.rung_samples import (
    LEAST,
    LEAST_LABELS,
    SHARE,
    expected_passes,
    rung_samples,
)
from lrsearch.trial.validations import make_plan

RUNGS = (0.04, 0.11, 0.33)


def plan_of(steps_per_epoch, epochs, rungs=RUNGS, **changes):
    fields = {"validate_rungs": True, "rung_samples": 1, **changes}
    return make_plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=epochs * steps_per_epoch,
        rungs=rungs,
        **fields,
    )


@pytest.mark.parametrize(
    ("steps", "batch", "epochs", "whole", "expected"),
    [
        (93, 64, 1, 2_000, 136),  # 6,000 images
        (937, 64, 1, 10_000, 1_368),  # MNIST
        (93, 64, 3, 2_000, 454),  # two rungs before the first epoch's end
        (93, 64, 12, 2_000, None),  # one, and the whole set is cheap enough
        (93, 64, 30, 2_000, None),  # none
        (32, 32, 1, 256, 21),  # 1,024 images
        (10, 16, 1, 1_000, LEAST_LABELS),  # hardly any training
        (10, 16, 1, LEAST_LABELS, None),  # as few as that anyway
    ],
)
def test_a_part_is_as_large_as_a_tenth_of_the_training_pays_for(
    steps, batch, epochs, whole, expected
):
    plan = plan_of(steps, epochs)
    trained = steps * epochs * batch
    found = rung_samples(plan, trained=trained, whole=whole, averaged_after=steps, labels=1)
    assert found == (None if expected is None else pytest.approx(expected, rel=0.03))


@pytest.mark.parametrize(("labels", "expected"), [(1, 16), (2.5, 7), (64, LEAST)])
def test_samples_of_many_labels_are_fewer(labels, expected):
    """Characters of a text, pixels of an image; ten steps pay for three samples."""
    found = rung_samples(plan_of(10, 1), trained=80, whole=1_000, averaged_after=10, labels=labels)
    assert found == expected


def test_validations_for_rungs_alone_take_no_more_than_their_share_of_a_search():
    for epochs in range(1, 12):
        plan = plan_of(100, epochs)
        passes = expected_passes(plan, averaged_after=100)
        trained = 6400 * epochs
        found = rung_samples(plan, trained=trained, whole=10**6, averaged_after=100, labels=1)
        assert passes
        assert found * passes <= 2 * SHARE * 6400 * epochs


def test_passes_are_counted_as_often_as_a_planned_search_comes_to_a_rung():
    one = expected_passes(plan_of(100, 1), averaged_after=100)
    # 20 % of the epochs for each of the three stretches of 4, 7 and 22 % of a run.
    assert one == pytest.approx(0.2 / 0.04 + 0.2 / 0.07 + 1, rel=0.01)
    # One that averages over a tenth of an epoch has its averages measured, too.
    assert expected_passes(plan_of(100, 1), averaged_after=10) == pytest.approx(
        one + 3.86, rel=0.01
    )


def test_only_what_is_there_for_a_rung_alone_is_partial():
    plan = plan_of(100, 5)  # rungs at steps 20, 55 and 165, of which the last is near 200
    assert plan.validations == (20, 55, 100, 200, 300, 400, 500)
    assert plan.partial == {1, 2}
    assert plan.rungs == {1: 0, 2: 1, 4: 2}
    assert (plan.rows, [plan.row(number) for number in range(3, 8)]) == (5, [1, 2, 3, 4, 5])


def test_without_a_part_every_validation_is_of_the_whole_set():
    plan = plan_of(100, 5, rung_samples=None)
    assert (plan.partial, plan.rows, plan.row(7)) == (frozenset(), 7, 7)
