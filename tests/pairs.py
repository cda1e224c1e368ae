"""Pairs of an optimizer and a schedule: the two are independent objects of torch, so that not every
test has to train each pair."""

import pytest


def is_telling(pair, optimizers=("sgd", "adamw")):
    """Every optimizer with every schedule of two that differ most in what they keep; every schedule
    with one optimizer that has one state and one that has two."""
    optimizer, schedule, *_ = pair
    return optimizer in optimizers or schedule in ("constant", "one_cycle")


def params(pairs, **options):
    """All pairs as parameters of a test: the telling ones, and the others with `-m slow`."""
    return [
        pytest.param(*pair, marks=[] if is_telling(pair, **options) else pytest.mark.slow)
        for pair in pairs
    ]
