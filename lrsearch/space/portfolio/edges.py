"""What a range test says of the portfolio's rates: which are too high, and how far off all lie."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: Median stability edge of each optimizer over the seventeen tasks that the portfolio was derived
#: on, three seeds each, in the sampler's unit; benchmarks/range_test.py measures it.
USUAL_EDGES: Mapping[str, float] = {"adamw": 0.1, "sgd": 0.5, "rmsprop": 0.03}
#: From this factor between an edge and the usual one on, the portfolio's rates lie far off. Data in
#: raw units move edges by 10 to 100,000.
FAR = 10.0
#: Steps of the shift in a decade: the portfolio's own rates are half a decade apart.
SHIFTS_PER_DECADE = 2


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Of an optimizer of the space, in the sampler's unit of its learning rate."""

    #: Rates above it are not enqueued.
    highest: float
    #: Recipes are also tried at rates times this; 1 where the portfolio's are near enough.
    shift: float = 1.0


def shift_of(optimizer: str, edge: float) -> float:
    """By what the portfolio's rates of an optimizer are to be multiplied, given its edge.

    1 where the edge is near the usual one, or that is not known.
    """
    usual = USUAL_EDGES.get(optimizer)
    if usual is None or max(edge / usual, usual / edge) < FAR:
        return 1.0
    steps = round(SHIFTS_PER_DECADE * math.log10(edge / usual))
    return float(10.0 ** (steps / SHIFTS_PER_DECADE))
