"""Every constant of the ladder, its optima and its law, in one table.

All were set on five tasks (teacher, diabetes, digits, ae, fmlp; AdamW and SGD; linear, cosine, WSD;
1 to 64 units), whose recorded tables `benchmarks/transfer.py` replays. A change of any of them is a
new `VERSION`, which every result carries. Users do not set them.
"""

import math
from dataclasses import dataclass

#: Of this table.
VERSION = 2
#: Share of an interval.
CONFIDENCE = 0.9


@dataclass(frozen=True, kw_only=True)
class Regime:
    """What decides how the best learning rate moves with the horizon.

    ln lr moves by ln 2 times an octave's slope. Slopes are normal: a common part, a part that each
    octave has for itself, and a random walk.
    """

    name: str
    #: Prior probability.
    weight: float
    #: Mean and standard deviation of the slope that all octaves have in common.
    slope: float
    common: float
    #: Standard deviation of an octave's own part, and of a step of the walk.
    own: float
    walk: float


#: Training limits: the best lr falls little with the horizon.
TRAINING = Regime(name="training", weight=0.7, slope=-0.10, common=0.15, own=0.35, walk=0.05)
#: Overfitting limits: lr times horizon is about constant, as with early stopping.
OVERFITTING = Regime(name="overfitting", weight=0.3, slope=-1.05, common=0.10, own=0.15, walk=0.02)
REGIMES = (TRAINING, OVERFITTING)

#: ln of the factor between neighbouring learning rates.
STEP = math.log(2.25)
#: Learning rates lie on a grid of half a step.
GRID = STEP / 2
#: How many learning rates the rungs after the first have; later ones have the last number.
POINTS = (5, 5, 3)
#: Learning rates that a rung gets beyond its ends at most, one at a time.
EXTENSIONS = 4
#: Half steps follow at the full horizon while it has fewer learning rates than so many beside its
#: first ones: with 2 the mean regret on the five tasks was 1.3 instead of 1.2 %, with more no less.
HALF_STEPS_UNTIL = 3
#: ln of the loss of a diverged run less that of the best of its rung.
DIVERGED = 3.0

#: A rung's points that are kept lie so near the best, in ln lr and in ln loss; at least so many.
NEAR_LR, NEAR_LOSS, LEAST_POINTS = 1.75, 1.5, 3
#: Curvatures of ln loss over ln lr that are tried: the least, the largest, how many.
CURVATURES = (0.003, 3.0, 33)
#: Standard deviation of ln curvature between rungs.
CURVATURE_SPREAD = 0.7
#: What a parabola misses of ln loss: this share of its own rise, and so much at least.
MISFIT, LEAST_MISFIT = 0.25, 0.001
#: Standard deviation of ln loss between seeds, until a rung with several seeds has told.
SEED_SPREAD = 0.03
#: A rung's optimum lies at most so far beyond its points, and is known no better than this.
BEYOND, LEAST_SPREAD = 0.7, 0.05

#: Standard deviation with which a rung's optimum misses the law, beside its own.
MISSES = 0.1
#: Variance of the first rung's optimum: as good as unknown.
UNKNOWN = 900.0
#: Error of any optimum that is found on a grid, and the factor of calibration on all of it.
GRID_ERROR, CALIBRATION = 0.25, 1.2
#: Without full runs, where samples are seen more than once, overfitting may begin right after the
#: longest rung: the interval then reaches down to this slope from there, and so far beyond.
WORST_SLOPE, MARGIN = -1.1, 0.5
#: Without full runs it reaches so far above the longest rung's optimum: the best lr may rise again.
MAY_RISE = 1.25

#: How often the interval after full runs of one seed held the best lr: on the tasks that no
#: constant has seen, and on the worst of them (`benchmarks/transfer.py`). It is meant to be 0.9.
COVERED, LEAST_COVERED = 0.84, 0.61

#: The last two octaves' slopes differ by so much, and so many standard deviations: a kink.
KINK, KINK_SPREADS = 0.4, 2.0
#: Both regimes are named where the probability of overfitting is between these.
UNSURE = (0.1, 0.9)
#: Without full runs the horizon may be so many times the longest rung; with them so many.
FAR, FARTHEST = 8.0, 16.0
#: Rungs are at least so many, and cover at least this factor.
LEAST_RUNGS, LEAST_FACTOR = 3, 4.0
#: A rung's optimum that is known no better than this carries no prediction.
MOST_SPREAD = STEP
