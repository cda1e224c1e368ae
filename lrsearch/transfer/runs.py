"""A run of the ladder that is planned, one as it ended, and what a ladder is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lrsearch.transfer import constants
from lrsearch.transfer.batch import Batch
from lrsearch.transfer.trunk import Trunk


@dataclass(frozen=True, kw_only=True, order=True)
class PlannedRun:
    """A run that is due."""

    #: In the ladder's unit, epochs or steps.
    horizon: int
    #: Peak learning rate.
    lr: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that has ended."""

    #: In the ladder's unit, epochs or steps.
    horizon: int
    #: Peak learning rate.
    lr: float
    seed: int
    #: The objective, a loss above 0; None of a run that diverged or failed.
    loss: float | None


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Which runs are trained, from short ones to the horizon that is asked for."""

    #: Horizons of the short runs, rising, in epochs or steps.
    horizons: tuple[int, ...]
    #: Horizon of the real run.
    to: int
    #: Middle of the first rung's learning rates; all others are whole half steps from it.
    centre: float
    #: How many learning rates the first rung has.
    lrs: int = 9
    #: Runs of each learning rate.
    seeds: int = 1
    #: Runs of the full horizon; 0: the answer is a guess.
    probes: int = 3
    first_seed: int = 0
    #: Whether runs of the full horizon see samples more than once.
    reuses_data: bool = True
    #: Where the long runs have another batch than the short ones.
    batch: Batch | None = None
    #: Where runs go on from shorter ones of their learning rate.
    trunk: Trunk | None = None

    @property
    def rungs(self) -> tuple[int, ...]:
        """All horizons that are trained: the full one comes last, if it is."""
        return (*self.horizons, self.to) if self.probes else self.horizons

    def points(self, rung: int) -> int:
        """How many learning rates a rung has before it is extended, by its place from 0."""
        if self.rungs[rung] == self.to:
            return self.probes
        if rung == 0:
            return self.lrs
        return constants.POINTS[min(rung, len(constants.POINTS)) - 1]

    @property
    def shift(self) -> float:
        """ln of the factor between the long runs' lr and what the short runs predict."""
        return 0.0 if self.batch is None else math.log(self.batch.factor)

    def octaves(self, horizon: float) -> float:
        """log2 of a horizon by the first one."""
        return math.log2(horizon / self.horizons[0])

    def lr(self, place: int) -> float:
        """The learning rate so many half steps from the centre, of six digits."""
        return float(f"{self.centre * math.exp(place * constants.GRID):.6g}")

    def place(self, x: float) -> int:
        """The place on the grid that is nearest to this ln lr.

        With a trunk all rungs have the learning rates of the first: whole steps apart.
        """
        if self.trunk is not None:
            return 2 * round((x - math.log(self.centre)) / constants.STEP)
        return round((x - math.log(self.centre)) / constants.GRID)


def unusable(horizons: Sequence[int], to: int, probes: int) -> str:
    """Why no prediction can be made from these horizons, in words; empty if one can."""
    if len(horizons) < constants.LEAST_RUNGS:
        return f"{len(horizons)} horizons, but at least {constants.LEAST_RUNGS} show a trend"
    if any(b <= a for a, b in pairwise(horizons)) or horizons[-1] >= to:
        return f"horizons {list(horizons)} have to rise and to end below {to}"
    if horizons[-1] < constants.LEAST_FACTOR * horizons[0]:
        return (
            f"horizons {horizons[0]} to {horizons[-1]}, but a factor of "
            f"{constants.LEAST_FACTOR:g} between them is needed to show a trend"
        )
    most = constants.FARTHEST if probes else constants.FAR
    if to > most * horizons[-1]:
        beside = "" if probes else " without probes"
        return (
            f"{to} is {to / horizons[-1]:.3g} times the longest horizon {horizons[-1]}, but"
            f"{beside} at most {most:g} times can be told; train longer ones"
        )
    return ""
