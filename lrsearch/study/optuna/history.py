"""What a sampler sees of a study: a thousand trials at most, and of each what TPE asks about."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from lrsearch.study.optuna.seen_trial import SeenTrial, Standing

#: The view holds the best trials and the latest. TPE takes at most the best 25 as good (Optuna's
#: `default_gamma`) and weighs the newest 25 of the others fully, older ones ever less; its time
#: grows with their number. More than a thousand would change little and cost every worker.
BEST, LATEST = 100, 900

#: Ended trials that a sampler learns from.
TELLING = (OptunaState.COMPLETE, OptunaState.PRUNED)


#: Of those that run, the latest: drawing beside all of 4,000 would take ten times as long, and
#: TPE weighs the newest 25 fully here too.
RUNNING = 256


@dataclass(frozen=True, kw_only=True)
class Place:
    """How far a study has been read."""

    #: In the order of ends: 1 is the study's first; trials of other studies come before it.
    ended: int = 0
    #: Among the moves of trials that wait and go on.
    moved: int = 0
    #: The ticket up to which all that run have been read with their parameters.
    ticket: int = 0


@dataclass(frozen=True, kw_only=True)
class News:
    """What one look at the database gave."""

    #: Ended trials by their place in the order of ends.
    ended: Mapping[int, SeenTrial]
    #: Trials that run or wait, as far as they are new or have changed.
    open: Sequence[SeenTrial]
    #: Optuna's ids of those that have ended, whatever their end.
    over: Collection[int]
    #: How far it went.
    place: Place


class HistoryReader(Protocol):
    """Reads one study's trials."""

    def __init__(self, study_id: int, *, minimize: bool, known: int) -> None:
        """`known` is how many trials of other studies its sampler was given."""

    def read_first(self, connection: Connection) -> News:
        """The latest, and of the others the best."""
        ...

    def read_since(self, connection: Connection, place: Place) -> News:
        """At least what has ended, begun or changed since."""
        ...


class View:
    """A sampler's history of one study."""

    def __init__(self, reader: HistoryReader, *, minimize: bool) -> None:
        self._reader = reader
        self._minimize = minimize
        self._ended: dict[int, SeenTrial] = {}
        #: Those that run or wait, by Optuna's id.
        self._open: dict[int, SeenTrial] = {}
        self._place: Place | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it has never been filled; the first look takes longest."""
        return self._place is None

    def forget(self) -> None:
        """Be blank again."""
        self._ended, self._open, self._place = {}, {}, None

    def read(self, connection: Connection) -> News:
        """What the view lacks."""
        if self._place is None:
            return self._reader.read_first(connection)
        return self._reader.read_since(connection, self._place)

    def take_in(self, news: News) -> None:
        """Add what was read, once its transaction has ended, and forget what is beyond the caps."""
        self._place = news.place
        for trial in news.over:
            self._open.pop(trial, None)
        self._open |= {trial.optuna_id: trial for trial in news.open}
        self._open = {trial.optuna_id: trial for trial in self._kept_open()}
        self._ended |= news.ended
        oldest = news.place.ended - LATEST
        if min(self._ended, default=1) <= oldest:
            best = best_places(
                (
                    (trial.rank_to_minimize[0], place)
                    for place, trial in self._ended.items()
                    if trial.standing is Standing.COMPLETE
                ),
                minimize=self._minimize,
            )
            kept = {place for place in self._ended if place > oldest} | best
            self._ended = {place: trial for place, trial in self._ended.items() if place in kept}

    def _kept_open(self) -> Iterator[SeenTrial]:
        """The latest of those that run; of those that wait the latest too, and the best."""
        by_number = attrgetter("optuna_number")
        running = [t for t in self._open.values() if t.standing is Standing.RUNNING]
        yield from (
            running if len(running) <= RUNNING else heapq.nlargest(RUNNING, running, key=by_number)
        )
        waiting = [t for t in self._open.values() if t.standing is not Standing.RUNNING]
        if len(waiting) <= BEST + LATEST:
            yield from waiting
            return
        waiting.sort(key=by_number)
        yield from waiting[-LATEST:]
        rank = attrgetter("rank_to_minimize" if self._minimize else "rank_to_maximize")
        yield from heapq.nsmallest(BEST, waiting[:-LATEST], key=rank)

    def trials(self, *, but: int) -> list[SeenTrial]:
        """Ended and open trials by number, without Optuna's trial `but`."""
        others = [trial for trial in self._open.values() if trial.optuna_id != but]
        return sorted([*self._ended.values(), *others], key=attrgetter("optuna_number"))


def best_places(values: Iterable[tuple[float, int]], *, minimize: bool) -> set[int]:
    """The places of the best values, the earlier first among equals."""
    sign = 1.0 if minimize else -1.0
    best = heapq.nsmallest(BEST, ((sign * value, place) for value, place in values))
    return {place for _, place in best}
