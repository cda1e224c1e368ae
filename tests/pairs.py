"""Pairs of an optimizer and a schedule: the two are independent objects of torch, so that not every
test has to train each pair."""

import pytest


def is_telling(pair, optimizers=("sgd", "adamw")):
    """Every optimizer with the schedule that moves most: the learning rate at each step, and the
    momentum; every schedule with one optimizer that has one state and one that has two. Rprop takes
    no schedule but a constant."""
    optimizer, schedule, *_ = pair
    return optimizer in (*optimizers, "rprop") or schedule == "one_cycle"


def params(pairs, **options):
    """All pairs as parameters of a test: the telling ones, and the others with `-m slow`."""
    return [
        pytest.param(*pair, marks=[] if is_telling(pair, **options) else pytest.mark.slow)
        for pair in pairs
    ]
