"""Trials that a view read as arrays: what TPE computes with, taken from each trial once."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from lrsearch.study.optuna.seen_trial import SeenTrial, Standing

#: Numbers of trials, of shape (trials,).
Floats = NDArray[np.float64]
#: Rows of a table.
Rows = NDArray[np.intp]
#: Rows of a new table; it doubles when they are used up.
ROWS = 256
#: A table with so many rows for a trial of the history is made anew: the others are gone.
MOST_ROWS = 4


class SeenTable:
    """Numbers of trials, a row for each. Rows stay as they are."""

    def __init__(self) -> None:
        #: How many rows are used.
        self.size = 0
        #: Of shape (rows, 6): kind, standing, both parts of the ranks to minimize and to maximize.
        self._order = np.empty((ROWS, 6))
        #: By parameter; NaN where a trial has none.
        self._columns: dict[str, Floats] = {}
        #: Trials with the same distributions are of a kind; of each kind the first one's.
        self.kinds: list[Mapping[str, BaseDistribution]] = []
        self._kinds: dict[frozenset[tuple[str, int]], int] = {}

    def rows_of(self, trials: Sequence[SeenTrial]) -> Rows:
        """Where these trials are; those that are new are added."""
        rows = [trial.row if trial.table is self else self._add(trial) for trial in trials]
        return np.array(rows, dtype=np.intp)

    def _add(self, trial: SeenTrial) -> int:
        row, self.size = self.size, self.size + 1
        if row == len(self._order):
            self._order = np.concatenate([self._order, np.empty_like(self._order)])
            nothing = np.full(row, np.nan)
            self._columns = {
                name: np.concatenate([column, nothing]) for name, column in self._columns.items()
            }
        ranks = (*trial.rank_to_minimize, *trial.rank_to_maximize)
        self._order[row] = (self._kind(trial), trial.standing, *ranks)
        for name, number in trial.internal.items():
            self.column(name)[row] = number
        trial.table, trial.row = self, row
        return row

    def _kind(self, trial: SeenTrial) -> int:
        # By identity: those of the first one are kept, so that no other gets their addresses.
        alike = frozenset((name, id(each)) for name, each in trial.distributions.items())
        found = self._kinds.setdefault(alike, len(self.kinds))
        if found == len(self.kinds):
            self.kinds.append(trial.distributions)
        return found

    def order(self, rows: Rows) -> NDArray[np.float64]:
        """Kind, standing and ranks, of shape (rows, 6)."""
        found: NDArray[np.float64] = self._order[rows]
        return found

    def column(self, name: str) -> Floats:
        """A parameter's numbers."""
        if name not in self._columns:
            self._columns[name] = np.full(len(self._order), np.nan)
        return self._columns[name]


class SeenArrays:
    """A history, its trials by number, in the table of those trials that were in one before."""

    def __init__(self, trials: Sequence[SeenTrial]) -> None:
        table = next((t.table for t in trials if t.table is not None), None)
        if table is None or table.size > ROWS + MOST_ROWS * len(trials):
            table = SeenTable()
        self._table = table
        self._rows = table.rows_of(trials)
        self._order = table.order(self._rows)
        self._has_ended = self._order[:, 1] != Standing.RUNNING

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return int(np.count_nonzero(self._has_ended))

    def common_space(self) -> dict[str, BaseDistribution]:
        """The parameters that all ended trials have, with the same distributions."""
        kinds = [self._table.kinds[int(i)] for i in np.unique(self._order[self._has_ended, 0])]
        return in_common(kinds)

    def split(self, count: int, *, minimize: bool) -> tuple[Rows, Rows]:
        """The rows of the `count` good trials and of the bad ones, as Optuna's `_split_trials`."""
        standing = self._order[:, 1]
        first, second = self._order[:, 2:4].T if minimize else self._order[:, 4:6].T
        is_good = np.zeros(len(self._rows), dtype=bool)
        for each in (Standing.COMPLETE, Standing.PRUNED, Standing.INFEASIBLE):
            places = np.flatnonzero(standing == each)
            best = places[np.lexsort((second[places], first[places]))[:count]]
            is_good[best] = True
            count -= len(best)
        return self._rows[is_good], self._rows[~is_good]

    def observations(self, names: Sequence[str], rows: Rows) -> dict[str, Floats]:
        """The numbers of these parameters, of those trials in these rows that have all of them."""
        columns = [self._table.column(name)[rows] for name in names]
        has_all = ~np.isnan(columns).any(axis=0)
        return {name: column[has_all] for name, column in zip(names, columns, strict=True)}


def in_common(kinds: Sequence[Mapping[str, BaseDistribution]]) -> dict[str, BaseDistribution]:
    """The parameters that all of these have, with equal distributions."""
    if not kinds:
        return {}
    first, *others = kinds
    return {
        name: mine
        for name, mine in first.items()
        if all((other := kind.get(name)) is mine or other == mine for kind in others)
    }
