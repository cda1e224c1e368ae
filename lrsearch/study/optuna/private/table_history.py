"""A study's trials, read from Optuna's tables directly.

Optuna's own storage reads whole trials, and each running one again with all its reports at every
suggestion: 1.2 s a trial beside 32 others of 500 reports. Here one query gives the trials that
ended, began or changed since the last look.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from optuna.trial import TrialState as OptunaState
from sqlalchemy import (
    ARRAY,
    CompoundSelect,
    Connection,
    Integer,
    Row,
    Select,
    and_,
    any_,
    bindparam,
    func,
    literal,
    or_,
    select,
    union_all,
)

from lrsearch.storage.rows import read_json
from lrsearch.storage.tables import rungs, studies
from lrsearch.storage.tables import trials as ours
from lrsearch.study.optuna import history
from lrsearch.study.optuna.attributes import CONSTRAINTS, UNIT
from lrsearch.study.optuna.history import TELLING, News, Place, best_places
from lrsearch.study.optuna.private import tables as t
from lrsearch.study.optuna.sampler_units import distribution_of, unit_of
from lrsearch.study.optuna.seen_trial import SeenTrial
from lrsearch.trial.states import TrialState
from lrsearch.user_input import is_number

#: A row of a query.
Found = Row[tuple[object, ...]]


class TableHistory:
    """`HistoryReader` by plain SQL."""

    def __init__(self, study_id: int, *, minimize: bool, known: int) -> None:
        self._study_id = study_id
        self._minimize = minimize
        self._known = known

    def read_since(self, connection: Connection, place: Place) -> News:
        return _news(self._recent(connection, place), {}, place)

    def _recent(self, connection: Connection, after: Place) -> Sequence[Found]:
        """Our trials that ended or moved after a place, and the latest of those that run."""
        most = {"of_study": self._study_id, "most": history.RUNNING}
        query = _recent(connection.dialect.name)
        return connection.execute(query, {**most, **vars(after)}).all()

    def read_first(self, connection: Connection) -> News:
        query = select(studies.c.trials_ended, studies.c.moves)
        found = connection.execute(query.where(studies.c.study_id == self._study_id)).first()
        ended, moved = found if found is not None else (0, 0)  # none: the study was deleted
        oldest = ended - history.LATEST
        places = self._places_of_known(connection, oldest) if self._known else {}
        if oldest > 0:
            best = _best_of_ours(self._study_id, oldest, ascending=self._minimize)
            places |= {row.trial_id: row.ended for row in connection.execute(best)}
        rows = [*self._recent(connection, Place(ended=max(0, oldest), moved=moved))]
        waiting = _waiting(self._study_id, ascending=self._minimize)
        rows += connection.execute(_details().where(ours.c.id.in_(waiting)))
        if places:
            rows += connection.execute(_details().where(t.trials.c.trial_id.in_(places)))
        return _news(rows, places, Place(ended=ended, moved=moved))

    def _places_of_known(self, connection: Connection, oldest: int) -> dict[int, int]:
        """Of other studies' trials by Optuna's id: they ended before the first, by their number."""
        rows = connection.execute(_known_to(self._study_id)).all()
        places = {row.trial_id: i - len(rows) + 1 for i, row in enumerate(rows)}
        complete = [row for row in rows if row.state == OptunaState.COMPLETE]
        best = best_places(
            ((row.value, places[row.trial_id]) for row in complete), minimize=self._minimize
        )
        return {key: place for key, place in places.items() if place > oldest or place in best}


def _news(rows: Iterable[Found], places: Mapping[int, int], before: Place) -> News:
    """Trials of rows of `_details`, a row for each parameter."""
    made: dict[int, SeenTrial] = {}
    ended: dict[int, SeenTrial] = {}
    opened: dict[int, SeenTrial] = {}
    over: set[int] = set()
    last, moved, tickets, undrawn = before.ended, before.moved, {before.ticket}, set[int]()
    for row in rows:
        trial = made.get(row.trial_id)
        if trial is None:
            trial = made[row.trial_id] = _seen(row)
            moved = max(moved, row.moved or 0)
            place = places.get(row.trial_id, row.ended)
            if place is None:
                opened[row.trial_id] = trial
                (tickets if row.drawn else undrawn).add(row.ticket)
            else:
                last = max(last, place)
                over.add(row.trial_id)
                if trial.state in TELLING:
                    ended[place] = trial
        if row.param_name is not None:
            _add_param(trial, row)
    # What runs without a recipe is read again.
    ticket = min(max(tickets), *(one - 1 for one in undrawn)) if undrawn else max(tickets)
    place_now = Place(ended=last, moved=moved, ticket=ticket)
    return News(ended=ended, open=list(opened.values()), over=over, place=place_now)


def _add_param(trial: SeenTrial, row: Found) -> None:
    """Add a parameter in the sampler's unit; one that Optuna would not have written is left out."""
    if row.unit is not None:
        unit = unit_of(row.unit)
        if unit is not None:
            trial.add(unit.name, unit.number, unit.distribution)
        return
    distribution = distribution_of(row.distribution_json)
    if distribution is not None:
        trial.add(row.param_name, row.param_value, distribution)


def _violation(text: str | None) -> float:
    """The first constraint of a list."""
    found = None if text is None else read_json(text)
    first = found[0] if isinstance(found, list) and found else 0.0
    return float(first) if is_number(first) else 0.0


def _seen(row: Found) -> SeenTrial:
    return SeenTrial(
        optuna_id=row.trial_id,
        optuna_number=row.number,
        state=OptunaState.PRUNED if row.waits else row.state,
        value=row.value,
        reports={} if row.step is None else {row.step: row.report},
        violation=_violation(row.violation),
    )


@cache
def _recent(dialect: str) -> Select[tuple[object, ...]]:
    """Its parameters are `of_study`, `most` and those of a `Place`.

    On PostgreSQL the ids are an array, of which it expects 10: so its plan for values that it does
    not know (see `tickets.look`) goes by indexes, however large the study. For a subquery it
    expects a third of all trials.
    """
    c = ours.alias().c  # not the one of `_details`
    study_id, ended, moved, ticket, most = (
        bindparam(name, type_=Integer) for name in ("of_study", "ended", "moved", "ticket", "most")
    )
    running = (
        select(c.id)
        .where(c.study_id == study_id, c.state == TrialState.RUNNING, c.ticket > ticket)
        .order_by(c.ticket.desc())
        .limit(most)
        .subquery()
    )
    news = union_all(
        select(c.id).where(c.study_id == study_id, c.ended > ended),
        select(c.id).where(c.study_id == study_id, c.moved > moved),
        select(running.c.id),
    )
    if dialect == "postgresql":
        ids = func.array(news.scalar_subquery(), type_=ARRAY(Integer))
        return _details().where(ours.c.id == any_(ids))
    return _details().where(ours.c.id.in_(news))


def _waiting(study_id: int, *, ascending: bool) -> CompoundSelect[tuple[int]]:
    """Of our trials that wait the latest, and of all those that came furthest the best."""
    c, r, own = ours.alias().c, rungs.c, rungs.alias().c
    waits = (c.study_id == study_id, c.state == TrialState.WAITING)
    latest = select(c.id).where(*waits).order_by(c.ticket.desc()).limit(history.LATEST)
    last = select(func.max(own.rung)).where(own.trial == c.id).scalar_subquery()
    best = (
        select(c.id)
        .join(rungs, and_(r.trial == c.id, r.rung == last))
        .where(*waits)
        .order_by(r.rung.desc(), r.value, c.ticket)
        .limit(history.BEST)
    )
    return union_all(*(select(part.subquery().c.id) for part in (latest, best)))


def _details() -> Select[tuple[object, ...]]:
    """What TPE asks of trials. A pruned one counts by its last report alone, or as infeasible.

    So does one that waits, by its report.
    """
    this, r, a = t.trials.c, t.reports.c, t.system_attributes.c
    waits = func.coalesce(ours.c.state, "") == TrialState.WAITING
    pruned = or_(this.state == OptunaState.PRUNED, waits)
    own = t.reports.alias().c
    last = select(func.max(own.step)).where(own.trial_id == this.trial_id).scalar_subquery()
    violation = and_(a.trial_id == this.trial_id, pruned, a.key == CONSTRAINTS)
    p, unit = t.params.c, t.system_attributes.alias()
    own_unit = and_(unit.c.trial_id == this.trial_id, unit.c.key == literal(UNIT) + p.param_name)
    return (
        select(
            ours.c.ended,
            ours.c.moved,
            ours.c.ticket,
            ours.c.fingerprint.is_not(None).label("drawn"),
            this.trial_id,
            this.number,
            this.state,
            waits.label("waits"),
            t.values.c.value,
            a.value_json.label("violation"),
            r.step,
            r.intermediate_value.label("report"),
            p.param_name,
            p.param_value,
            p.distribution_json,
            unit.c.value_json.label("unit"),
        )
        .select_from(t.trials)
        .outerjoin(ours, ours.c.trial_id == this.trial_id)
        .outerjoin(t.values, t.values.c.trial_id == this.trial_id)
        .outerjoin(t.system_attributes, violation)
        .outerjoin(t.reports, and_(r.trial_id == this.trial_id, pruned, r.step == last))
        .outerjoin(t.params, p.trial_id == this.trial_id)
        .outerjoin(unit, own_unit)
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
        .limit(history.BEST)
    )
