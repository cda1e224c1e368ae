"""What a sampler sees of a study: a thousand trials at most, and of each what TPE asks about.

Optuna's own storage reads whole trials, and each running one again with all its reports at every
suggestion: 1.2 s a trial beside 32 others of 500 reports. Here one query gives the trials that
ended since the last look and the parameters of those that run.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection, Select, and_, func, or_, select

from lrsearch.storage.rows import Row, fetch, read_json
from lrsearch.storage.tables import studies
from lrsearch.storage.tables import trials as ours
from lrsearch.study.optuna import tables as t
from lrsearch.study.optuna.encoding import VIOLATION
from lrsearch.study.optuna.quick_tpe import SeenTrial
from lrsearch.trial.states import TrialState
from lrsearch.user_input import is_number

#: The view holds the best trials and the latest. TPE takes at most the best 25 as good (Optuna's
#: `default_gamma`) and weighs the newest 25 of the others fully, older ones ever less; its time
#: grows with their number. More than a thousand would change little and cost every worker.
BEST, LATEST = 100, 900

#: Ended trials that a sampler learns from.
TELLING = (OptunaState.COMPLETE, OptunaState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class News:
    """What one look at the database gave."""

    #: Ended trials by their place in the order of ends.
    ended: Mapping[int, FrozenTrial]
    running: list[FrozenTrial]
    #: The place of the last.
    last: int


class View:
    """A sampler's history of one study."""

    def __init__(self, study_id: int, *, minimize: bool, known: int) -> None:
        """`known` is how many trials of other studies its sampler was given."""
        self.study_id = study_id
        self._sign = 1.0 if minimize else -1.0
        self._known = known
        #: By place in the order of ends: 1 is the study's first; other studies' come before it.
        self._ended: dict[int, FrozenTrial] = {}
        self._running: list[FrozenTrial] = []
        self._last: int | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it has never been filled; the first look takes longest."""
        return self._last is None

    def read(self, connection: Connection) -> News:
        """What the view lacks."""
        if self._last is None:
            return self._read_first(connection)
        return _news(fetch(connection, _recent(self.study_id, self._last)), {}, self._last)

    def take_in(self, news: News) -> None:
        """Add what was read, once its transaction has ended, and forget what is beyond the cap."""
        self._last, self._running = news.last, news.running
        self._ended |= news.ended
        oldest = news.last - LATEST
        if min(self._ended, default=1) <= oldest:
            kept = {place for place in self._ended if place > oldest} | self._best(self._ended)
            self._ended = {place: trial for place, trial in self._ended.items() if place in kept}

    def trials(self, *, but: int) -> list[FrozenTrial]:
        """Ended and running trials by number, without Optuna's trial `but`."""
        running = [trial for trial in self._running if trial._trial_id != but]
        return sorted([*self._ended.values(), *running], key=lambda trial: trial.number)

    def _best(self, ended: Mapping[int, FrozenTrial]) -> set[int]:
        """The places of the best complete trials, the earlier first among equals."""
        values = [
            (self._sign * trial.value, place)
            for place, trial in ended.items()
            if trial.state == OptunaState.COMPLETE and trial.value is not None
        ]
        return {place for _, place in heapq.nsmallest(BEST, values)}

    def _read_first(self, connection: Connection) -> News:
        """The latest, and of the others the best."""
        query = select(studies.c.trials_ended).where(studies.c.study_id == self.study_id)
        last: int = connection.execute(query).scalar() or 0  # none: the study was deleted
        oldest = last - LATEST
        places = self._places_of_known(connection, oldest) if self._known else {}
        if oldest > 0:
            best = _best_of_ours(self.study_id, oldest, ascending=self._sign > 0)
            places |= {row["trial_id"]: row["ended"] for row in fetch(connection, best)}
        rows = fetch(connection, _recent(self.study_id, max(0, oldest)))
        if places:
            rows += fetch(connection, _details().where(t.trials.c.trial_id.in_(places)))
        return _news(rows, places, last)

    def _places_of_known(self, connection: Connection, oldest: int) -> dict[int, int]:
        """Of other studies' trials by Optuna's id: they ended before the first, by their number."""
        rows = fetch(connection, _known_to(self.study_id))
        places = {row["trial_id"]: i - len(rows) + 1 for i, row in enumerate(rows)}
        values = [
            (self._sign * row["value"], places[row["trial_id"]])
            for row in rows
            if row["state"] == OptunaState.COMPLETE
        ]
        best = {place for _, place in heapq.nsmallest(BEST, values)}
        return {key: place for key, place in places.items() if place > oldest or place in best}


def _news(rows: Iterable[Row], places: Mapping[int, int], last: int) -> News:
    """Trials of rows of `_details`, a row for each parameter."""
    made: dict[int, SeenTrial] = {}
    ended: dict[int, FrozenTrial] = {}
    running: list[FrozenTrial] = []
    for row in rows:
        trial = made.get(row["trial_id"])
        if trial is None:
            trial = made[row["trial_id"]] = _seen(row)
            place = places.get(row["trial_id"], row["ended"])
            if place is None:
                running.append(trial)
            else:
                last = max(last, place)
                if trial.state in TELLING:
                    ended[place] = trial
        if row["param_name"] is not None:
            _add_param(trial, row)
    return News(ended=ended, running=running, last=last)


def _add_param(trial: SeenTrial, row: Row) -> None:
    """Add a parameter; one that Optuna would not have written is left out."""
    try:
        distribution = _distribution(row["distribution_json"])
        distribution.to_external_repr(row["param_value"])
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return
    trial.add(row["param_name"], row["param_value"], distribution)


def _violation(text: str | None) -> float:
    found = 0.0 if text is None else read_json(text)
    return float(found) if is_number(found) else 0.0


def _seen(row: Row) -> SeenTrial:
    return SeenTrial(
        number=row["number"] + 1,  # the trial that is drawn has 0
        state=row["state"],
        value=row["value"],
        params={},
        distributions={},
        intermediate_values={} if row["step"] is None else {row["step"]: row["report"]},
        trial_id=row["trial_id"],
        violation=_violation(row["violation"]),
    )


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    """Shared by all trials, which nothing changes."""
    return json_to_distribution(text)


def _recent(study_id: int, after: int) -> Select[tuple[object, ...]]:
    """Our trials that ended after the first `after`, and those that run."""
    c = ours.c
    news = or_(c.ended > after, c.state == TrialState.RUNNING)
    return _details().where(c.study_id == study_id, news)


def _details() -> Select[tuple[object, ...]]:
    """What TPE asks of trials. A pruned one counts by its last report alone, or as infeasible."""
    this, r, a = t.trials.c, t.reports.c, t.system_attributes.c
    pruned = this.state == OptunaState.PRUNED
    own = t.reports.alias().c
    last = select(func.max(own.step)).where(own.trial_id == this.trial_id).scalar_subquery()
    violation = and_(a.trial_id == this.trial_id, pruned, a.key == VIOLATION)
    return (
        select(
            ours.c.ended,
            this.trial_id,
            this.number,
            this.state,
            t.values.c.value,
            a.value_json.label("violation"),
            r.step,
            r.intermediate_value.label("report"),
            t.params.c.param_name,
            t.params.c.param_value,
            t.params.c.distribution_json,
        )
        .select_from(t.trials)
        .outerjoin(ours, ours.c.trial_id == this.trial_id)
        .outerjoin(t.values, t.values.c.trial_id == this.trial_id)
        .outerjoin(t.system_attributes, violation)
        .outerjoin(t.reports, and_(r.trial_id == this.trial_id, pruned, r.step == last))
        .outerjoin(t.params, t.params.c.trial_id == this.trial_id)
    )


def _known_to(study_id: int) -> Select[tuple[object, ...]]:
    """Trials of other studies that this one's sampler was given, by number."""
    this = t.trials.c
    return (
        select(this.trial_id, this.state, t.values.c.value)
        .outerjoin(ours, ours.c.trial_id == this.trial_id)
        .outerjoin(t.values, t.values.c.trial_id == this.trial_id)
        .where(this.study_id == study_id, ours.c.id.is_(None))
        .order_by(this.number)
    )


def _best_of_ours(study_id: int, last: int, *, ascending: bool) -> Select[tuple[object, ...]]:
    """The best complete trials among the first `last` that ended."""
    c = ours.c
    return (
        select(c.trial_id, c.ended)
        .where(
            c.study_id == study_id,
            c.state == TrialState.COMPLETE,
            c.value.is_not(None),
            c.ended <= last,
        )
        .order_by(c.value.asc() if ascending else c.value.desc(), c.ended)
        .limit(BEST)
    )
