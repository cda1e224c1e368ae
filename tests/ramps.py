"""Range tests whose truth is known: losses along a rising lr, made up."""

import math
import random

from lrsearch.range_test.analysis import judge
from lrsearch.range_test.reading import Ramp, grid

#: Six decades and a half.
LRS = grid(1e-5, 58)


def make_ramp(falls=1e-2, climbs=1.0, *, start=2.3, floor=0.5, noise=0.0, lrs=LRS, seed=0):
    """A loss that falls from `start` to `floor` over the decade about the lr `falls`, and is back
    at its start, and soon far above it, from `climbs` on."""
    draw = random.Random(seed)
    losses = []
    for lr in lrs:
        fallen = 1 / (1 + (lr / falls) ** -2)
        blown = (lr / climbs) ** 4
        loss = start + (floor - start) * fallen + start * blown
        losses.append(loss + draw.gauss(0, noise))
    return Ramp(seed=seed, lrs=lrs, losses=tuple(losses))


def make_result(*ramps, optimizer="sgd"):
    """At the batch size of the tiny study."""
    return judge({"name": optimizer, "momentum": 0.9}, ramps or (make_ramp(),), batch_size=16)


def from_losses(losses, lrs=LRS):
    return Ramp(seed=0, lrs=lrs[: len(losses)], losses=tuple(losses))


def near(a, b, factor):
    """Whether two lr differ by no more than a factor."""
    return abs(math.log(a / b)) <= math.log(factor)
