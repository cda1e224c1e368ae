"""One trunk, many horizons: of runs of one learning rate each goes on from a shorter one."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.plain_data import Fields
from lrsearch.recipe.trunk import decay_begins


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """What a ladder's runs have in common: warm-up, and a constant rate up to their decay."""

    schedule: Fields
    warmup_steps: int
    #: Optimizer steps of the ladder's unit, an epoch or a step.
    steps_per_unit: int

    def leaves(self, horizon: int) -> float:
        """Where a run begins to decay, in the ladder's unit: longer ones go on from there."""
        total = horizon * self.steps_per_unit
        return decay_begins(self.schedule, total, self.warmup_steps) / self.steps_per_unit

    def trained(self, horizon: int, shorter: Sequence[int]) -> float:
        """What a run trains itself beside runs of its rate and these horizons."""
        return horizon - max((self.leaves(each) for each in shorter if each < horizon), default=0)
