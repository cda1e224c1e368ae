"""A report of a command, and how the parts of one are read."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lrsearch.errors import TaskError
from lrsearch.plain_data import Unchecked
from lrsearch.user_input import is_number

_NUMBER = re.compile(
    r"[\[({]*(?:tensor\()?[\[(]*"
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?))"
    r"[%,;:)\]}|]*\.?",
    re.IGNORECASE,
)
#: Columns and keys that say how far a run is, whatever their case.
_EPOCH = ("epoch",)
_STEP = ("step", "global_step", "iteration", "iter")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A report: what a command has written about one validation."""

    #: NaN and infinity are values.
    metrics: Mapping[str, float]
    #: As the command counts them, from 0 or from 1; None where it does not say it.
    epoch: float | None = None
    step: int | None = None


class Reader(Protocol):
    """Reports as a command writes them."""

    def poll(self, *, ended: bool = False) -> list[Reading]:
        """The reports since the last call; a part that is still being written waits for its rest.

        `ended` says that the command has ended and no rest will come. Raises TaskError where a
        metric is no number.
        """

    def skip(self) -> None:
        """Pass over what is there already, as where a trial goes on after an interruption.

        Where it begins anew, its folder has to be empty: a file that is written again with the same
        records gives only those that follow.
        """

    def explain(self) -> str:
        """What was looked for and what there is, in one line: the reason why nothing was read."""


def number_in(text: str) -> float | None:
    """The number that a text is: `5.3`, `5.3,`, `87%` (87), `nan`, `tensor(5.3,`; else None."""
    found = _NUMBER.fullmatch(text.strip())
    return None if found is None else float(found[1])


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of a file, or an object of JSON, as a report may lie in it."""

    fields: Mapping[str, Unchecked]
    #: Which file, for an error.
    where: str

    def reading(self, metric: str, words: Mapping[str, str]) -> Reading | None:
        """The report of `metric`; None if the record has none.

        `words` has the record's names for metrics. Raises TaskError if `metric` is no number.
        """
        key = words.get(metric, metric)
        value = self.fields.get(key)
        if value is None or value == "":
            return None
        if as_number(value) is None:
            raise TaskError(f"{self.where}: {key} = {value!r}, but a number is needed")
        ours = {theirs: name for name, theirs in words.items()}
        numbers = {name: as_number(value) for name, value in self.fields.items()}
        counted = {name for name in numbers if name.lower() in (*_EPOCH, *_STEP)} - {key}
        metrics = {
            ours.get(name, name): number
            for name, number in numbers.items()
            if number is not None and name not in counted
        }
        step = self._counted(_STEP)
        return Reading(
            metrics=metrics, epoch=self._counted(_EPOCH), step=None if step is None else int(step)
        )

    def _counted(self, names: tuple[str, ...]) -> float | None:
        found = {name.lower(): as_number(value) for name, value in self.fields.items()}
        counts = (found.get(name) for name in names)
        return next((n for n in counts if n is not None and math.isfinite(n)), None)


def as_number(value: Unchecked) -> float | None:
    """A number, or the number that a text is; else None, as for `true`."""
    if isinstance(value, str):
        return number_in(value)
    if isinstance(value, float) or is_number(value):
        return float(value)
    return None


@dataclass
class Delivered:
    """The reports that were given away already, for a file that is written anew with them in it."""

    _all: list[str] = field(default_factory=list)
    _place: int = 0

    def begin_again(self) -> None:
        """The next report is the first of the file."""
        self._place = 0

    def is_new(self, reading: Reading) -> bool:
        """Whether it differs from the report that stood at the same place."""
        text = repr(reading)  # NaN equals itself here
        known = self._place < len(self._all) and self._all[self._place] == text
        if not known:
            self._all[self._place :] = [text]
        self._place += 1
        return not known
