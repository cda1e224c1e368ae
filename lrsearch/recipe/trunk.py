"""Where a WSD schedule begins to decay: up to there, runs of all lengths train the same steps.

With W steps of warm-up, a run of T steps is constant up to step W + (1 - decay)(T - W), and then
decays to 0.
"""

import math

from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.plain_data import Fields


def decay_begins(schedule: Fields, total_steps: int, warmup_steps: int) -> int:
    """The optimizer step at which a run of so many steps leaves its constant part."""
    decay = float({**SCHEDULES["wsd"].defaults, **schedule}["decay"])
    return warmup_steps + math.floor((1 - decay) * (total_steps - warmup_steps))
