"""What values a field of an optimizer or a schedule takes."""

import math
from dataclasses import dataclass
from typing import ClassVar

from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Unchecked
from lrsearch.user_input import is_number


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A number between two ends."""

    listed: ClassVar[bool] = False
    low: float = 0.0
    high: float = math.inf
    #: Whether `low` itself is allowed.
    low_open: bool = False
    #: Whether `high` itself is allowed.
    high_open: bool = True
    integer: bool = False
    #: Whether it is the share that an average keeps (momentum, beta, alpha): sampled as 1 - value.
    decay_rate: bool = False

    def check(self, value: Unchecked, where: str) -> None:
        """Raises SpecError unless `value` is allowed."""
        if not is_number(value):
            raise SpecError(f"{where} = {value!r}, but a finite number is needed")
        too_low = value <= self.low if self.low_open else value < self.low
        too_high = value >= self.high if self.high_open else value > self.high
        if too_low or too_high or (self.integer and value != int(value)):
            raise SpecError(f"{where} = {value!r}, but {self} is accepted")

    def __str__(self) -> str:
        kind = "a whole number " if self.integer else ""
        if self.low == -math.inf:
            return f"{kind}{'below' if self.high_open else 'up to'} {self.high:g}"
        low = f"{kind}{'above' if self.low_open else 'from'} {self.low:g}"
        if self.high == math.inf:
            return low
        return f"{low} {'to below' if self.high_open else 'to'} {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Flag:
    listed: ClassVar[bool] = False

    def check(self, value: Unchecked, where: str) -> None:
        if not isinstance(value, bool):
            raise SpecError(f"{where} = {value!r}, but true or false is accepted")


@dataclass(frozen=True, kw_only=True)
class Word:
    listed: ClassVar[bool] = False
    words: tuple[str, ...]

    def check(self, value: Unchecked, where: str) -> None:
        if value not in self.words:
            raise SpecError(f"{where} = {value!r}{near_miss(value, self.words)}")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two numbers, each with limits of its own."""

    listed: ClassVar[bool] = True
    first: Limit
    second: Limit

    def check(self, value: Unchecked, where: str) -> None:
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise SpecError(f"{where} = {value!r}, but two numbers are needed")
        self.first.check(value[0], f"{where}[0]")
        self.second.check(value[1], f"{where}[1]")


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A list of so many numbers."""

    listed: ClassVar[bool] = True
    length: int

    def check(self, value: Unchecked, where: str) -> None:
        if not isinstance(value, list | tuple) or len(value) != self.length:
            raise SpecError(f"{where} = {value!r}, but {self.length} numbers are needed")
        if not all(is_number(item) for item in value):
            raise SpecError(f"{where} = {value!r}, but finite numbers are needed")


@dataclass(frozen=True, kw_only=True)
class Fractions:
    """A strictly rising list of fractions of the horizon, all inside (0, 1)."""

    listed: ClassVar[bool] = True

    def check(self, value: Unchecked, where: str) -> None:
        if not isinstance(value, list | tuple) or not value:
            raise SpecError(f"{where} = {value!r}, but a list of fractions is needed")
        inside = all(is_number(item) and 0 < item < 1 for item in value)
        if not inside or list(value) != sorted(set(value)):
            raise SpecError(f"{where} = {list(value)!r}, but rising fractions in (0, 1) are needed")


@dataclass(frozen=True, kw_only=True)
class Anything:
    """A field of a class that lrsearch knows by its signature only; the class itself checks it."""

    listed: ClassVar[bool] = False

    def check(self, value: Unchecked, where: str) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise SpecError(f"{where} = {value!r}, but it must be finite")


FieldLimit = Limit | Flag | Word | Pair | Numbers | Fractions | Anything

POSITIVE = Limit(low_open=True)
NOT_NEGATIVE = Limit()
DECAY_RATE = Limit(high=1.0, decay_rate=True)
FACTOR = Limit(high=1.0, high_open=False)
OPEN_FACTOR = Limit(high=1.0, low_open=True)
FRACTION = Limit(high=1.0, low_open=True, high_open=False)
FLAG = Flag()
BETAS = Pair(first=DECAY_RATE, second=DECAY_RATE)
