"""The reports of a command that goes on after an interruption, as one curve."""

from collections.abc import Sequence

from lrsearch.command.reading import Reading


class Continued:
    """Joins what a command reports now to what it had reported before it was interrupted.

    The command goes on from a state of its own, which may be older or newer than the curve that was
    kept. Reports that the curve has already are left out, and those between the curve and the
    command's state are taken from its earlier output. This needs reports that say their epoch or
    step; of others, the earlier ones are all taken as they came.
    """

    def __init__(self, earlier: Sequence[Reading], taken: int) -> None:
        """`earlier` are reports of earlier attempts; the curve has the first `taken` of them."""
        last = {place: reading for reading in earlier if (place := _place(reading)) is not None}
        self._counts = len(last) > 0
        #: By their place; of a place that several attempts came to, the last one's.
        self._earlier = [last[place] for place in sorted(last)] if last else list(earlier)
        self._left = self._earlier[taken:]
        self._reached = _place(self._earlier[taken - 1]) if 0 < taken <= len(last) else None

    @property
    def counts(self) -> bool:
        """Whether the earlier reports say their epoch or step."""
        return self._counts

    @property
    def first(self) -> Reading | None:
        """The earliest report of all; None if there was none."""
        return self._earlier[0] if self._earlier else None

    def join(self, new: Sequence[Reading]) -> list[Reading]:
        """The reports that the curve takes, now that these have come."""
        joined: list[Reading] = []
        for reading in new:
            place = _place(reading)
            if place is not None and self._reached is not None and place <= self._reached:
                continue
            between = [one for one in self._left if not self._counts or _before(one, place)]
            self._left = []
            joined += [*between, reading]
            self._reached = place
        return joined

    def rest(self) -> list[Reading]:
        """The earlier reports that the curve takes where the command ended with no other."""
        left, self._left = self._left, []
        return left


def _place(reading: Reading) -> float | None:
    """How far the run was, in the command's own count."""
    return reading.step if reading.epoch is None else reading.epoch


def _before(reading: Reading, place: float | None) -> bool:
    own = _place(reading)
    return place is None or (own is not None and own < place)
