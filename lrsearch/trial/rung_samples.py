"""On how many validation samples trials are compared at rungs that no epoch ends near.

A user validates at the end of each epoch. In a run of few epochs the first rungs fall before the
first of these, and a validation of the whole set there may cost more than the training up to it.
"""

import math

from lrsearch.trial.halving import make_stages
from lrsearch.trial.rounding import floor
from lrsearch.trial.validations import Plan

#: Share of a search's training that these validations may take. In a planned search most trials end
#: at the first rungs, so it is a smaller share of a trial that is trained to its end: a third of it
#: with three such rungs at 4, 11 and 33 %.
SHARE = 0.1
#: What a step takes for a sample, in forward passes, at least. A backward pass costs about two of
#: them, but less where forward passes have parts of their own: steps of a CNN with max pooling cost
#: 1.6 on a CPU (benchmarks/zoo.py:cnn).
FORWARD_PASSES = 2.0
#: Fewer samples are never taken, whatever they cost, nor samples with fewer labels. With ten
#: classes, searches of one short epoch lose with 8 samples and lose nothing with 10; those of
#: language models lose nothing with 2 samples of 64 characters (benchmarks/rung_samples.py).
LEAST, LEAST_LABELS = 5, 16


def rung_samples(
    plan: Plan, *, trained: float, whole: int, averaged_after: float, labels: float
) -> int | None:
    """The size of the part of a validation set of `whole` samples; None: all of it.

    None too where no rung has a validation for itself. `trained` are the samples that a trial sees
    until its end, repeated ones counted; from the step after `averaged_after` on averaged weights
    are validated as well. `labels` are those of a sample.
    """
    passes = expected_passes(plan, averaged_after)
    if not passes:
        return None
    least = max(LEAST, math.ceil(LEAST_LABELS / labels))
    samples = max(least, floor(SHARE * FORWARD_PASSES * trained / passes))
    return samples if samples < whole else None


def expected_passes(plan: Plan, averaged_after: float) -> float:
    """Passes over the part in the validations for rungs alone, for each full run of a search.

    As many trials come to a rung as a planned search has there, see `trial.halving`; at least one.
    """
    placed = sorted(plan.rungs)
    ends = [plan.validations[number - 1] / plan.total_steps for number in placed]
    stages = make_stages(1.0, [*ends, 1.0])
    passes = 0.0
    for number, stage in zip(placed, stages, strict=False):
        if number in plan.partial:
            weights = 1 + (plan.validations[number - 1] > averaged_after)
            passes += weights * max(1.0, stage.share / stage.cost)
    return passes
