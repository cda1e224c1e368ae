"""What a duel has found so far: a row for each method, seed and budget, kept in a file of lines."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from duel_methods import Found
from duel_training import Verdict

from lrsearch import LrsearchError


class RecordError(LrsearchError):
    """The file of an earlier duel cannot be gone on with."""


@dataclass(frozen=True, kw_only=True)
class Row:
    method: str
    seed: int
    #: In trial equivalents.
    budget: int
    recipe: Mapping[str, Any]
    #: The number that the method itself reports.
    own: float
    #: Validation losses on the judges' seeds.
    judged: Sequence[float]
    #: Means over them.
    metrics: Mapping[str, float]
    #: Epochs really spent, by purpose.
    epochs: Mapping[str, float]
    #: How many trials ended in each state.
    trials: Mapping[str, int]

    @classmethod
    def of(cls, found: Found, verdict: Verdict) -> "Row":
        return cls(judged=verdict.values, metrics=verdict.metrics, **asdict(found))

    @property
    def value(self) -> float:
        return fmean(self.judged)

    @property
    def spent(self) -> float:
        return sum(self.epochs.values())


class Record:
    """Rows of one duel, in the order in which they were found."""

    def __init__(self, duel: Mapping[str, Any], path: Path | None) -> None:
        """`duel` says what is measured; rows in the file `path` must be of the same.

        Raises RecordError if they are of another.
        """
        self._duel, self._path = dict(duel), path
        self.rows: list[Row] = []
        if path is not None and path.exists():
            self.rows = list(self._read(path))

    def _read(self, path: Path) -> Iterator[Row]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                content = json.loads(line)
                duel, row = content["duel"], Row(**content["row"])
            except (ValueError, KeyError, TypeError) as error:
                raise RecordError(f"--resume {path}: line {number} is no row of a duel") from error
            if duel != self._duel:
                raise RecordError(
                    f"--resume {path}: line {number} is of {duel}, but this is {self._duel}; "
                    f"give another file"
                )
            yield row

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"duel": self._duel, "row": asdict(row)}) + "\n")

    def has(self, method: str, seed: int, budget: int) -> bool:
        return any((r.method, r.seed, r.budget) == (method, seed, budget) for r in self.rows)

    def of(self, method: str, budget: int, seeds: Iterable[int]) -> list[Row]:
        """One row for each of the seeds, in their order; none where one is missing."""
        found = {r.seed: r for r in self.rows if (r.method, r.budget) == (method, budget)}
        wanted = list(seeds)
        return [found[seed] for seed in wanted] if found.keys() >= set(wanted) else []
