"""A curve as a few characters."""

import itertools
import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
#: For terminals that show no other characters.
ASCII = "_.-=*#"


def sparkline(values: Sequence[float | None], cells: int, *, ascii_only: bool = False) -> str:
    """The newest `cells` values, the lowest of them as the lowest mark; a space: not finite.

    Equal values are drawn low. More values than cells are joined to means, a cell for each as many.
    """
    marks = ASCII if ascii_only else BLOCKS
    joined = _joined(values, cells)
    finite = [value for value in joined if value is not None]
    if not finite:
        return " " * len(joined)
    low, span = min(finite), max(finite) - min(finite)

    def mark(value: float | None) -> str:
        if value is None:
            return " "
        share = (value - low) / span if span > 0 else 0.0
        return marks[min(len(marks) - 1, int(share * len(marks)))]

    return "".join(map(mark, joined))


def _joined(values: Sequence[float | None], cells: int) -> list[float | None]:
    """At most so many means of neighbours, None where one has no finite value."""
    count = min(cells, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)] if count else [0]
    return [_mean(values[a:b]) for a, b in itertools.pairwise(edges)]


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return None
    # Halved first: two large values have a sum that is not finite.
    return math.fsum(value / len(finite) for value in finite)
