"""Every recipe of a space whose fields are all discrete."""

from collections.abc import Iterator, Sequence
from typing import Any

from lrsearch.plain_data import Document
from lrsearch.space.search_space import SearchSpace
from lrsearch.trial.rounding import floor


class _ContinuousError(Exception):
    """A field has more values than can be counted."""


class _Path:
    """A walk through a space's questions: each gets the answer that the path says, else its first.

    It is `sampling_units.Suggester`.
    """

    def __init__(self, answers: Sequence[int]) -> None:
        self._answers = answers
        #: The index of each answer given, and how many there are.
        self.taken: list[tuple[int, int]] = []

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[self._take(len(choices))]

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return low + step * self._take((high - low) // step + 1)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if low == high:
            return low
        if step is None:
            raise _ContinuousError(name)
        return low + step * self._take(floor((high - low) / step) + 1)

    def _take(self, count: int) -> int:
        place = len(self.taken)
        index = self._answers[place] if place < len(self._answers) else 0
        self.taken.append((index, count))
        return index

    def next(self) -> list[int] | None:
        """The answers of the path after this one; None after the last."""
        answers = [index for index, _ in self.taken]
        while answers:
            answers[-1] += 1
            if answers[-1] < self.taken[len(answers) - 1][1]:
                return answers
            answers.pop()
        return None


def every(space: SearchSpace, *, most: int) -> list[Document] | None:
    """The fields of every recipe that `space.suggest` can give, some perhaps more than once.

    None where a field is continuous, or where they are more than `most`. They are found by asking
    the space all its questions, so conditional fields are counted where they are asked for.
    """
    found: list[Document] = []
    try:
        for fields in _walk(space):
            found.append(fields)
            if len(found) > most:
                return None
    except _ContinuousError:
        return None
    return found


def _walk(space: SearchSpace) -> Iterator[Document]:
    answers: list[int] | None = []
    while answers is not None:
        path = _Path(answers)
        yield space.suggest(path)
        answers = path.next()
