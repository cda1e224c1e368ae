"""What is asked of rungs: the marks that trials have left there, and how a trial compares."""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, bindparam, exists, select

from lrsearch.storage import leases, rung_counts
from lrsearch.storage.leases import Claim
from lrsearch.storage.rung_counts import Count
from lrsearch.storage.tables import rungs, studies, trials


class Mark(NamedTuple):
    """What a trial left at a rung: lower is better, infinite where it was not finite."""

    trial: int
    rung: int
    signal: float


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A held trial at a rung."""

    trial: int
    rung: int
    study_id: int
    ticket: int
    #: Trials that its study is to have, and epochs; None where nothing says.
    trials_total: int | None
    epochs_total: float | None
    #: The rung that would have stopped it, if it is audited.
    audited_at: int | None
    #: What it left here before: an earlier attempt, or a transaction that was done twice.
    before: float | None
    #: Whether an earlier attempt has a mark at a later rung.
    went_past: bool

    @property
    def goes_on(self) -> bool:
        """Whether that was decided already: it went past, or is audited by here."""
        return self.went_past or (self.audited_at is not None and self.audited_at <= self.rung)

    @property
    def has_waited(self) -> bool:
        """Whether an earlier attempt came here or further: it was begun anew since then."""
        audited = self.audited_at is not None and self.audited_at < self.rung
        return self.went_past or self.before is not None or audited

    @property
    def leaves_mark(self) -> bool:
        """Whether others are compared with it: with what pruning lets pass alone."""
        return self.audited_at is None or self.audited_at >= self.rung


def visit(connection: Connection, claim: Claim, rung: int) -> Visit | None:
    """What is known of a trial that has come to a rung; None if the claim is lost.

    The trial stays locked until the transaction ends.
    """
    found = (
        connection.execute(visit_query(), {"at_rung": rung, **leases.named(claim)})
        .mappings()
        .first()
    )
    return None if found is None else Visit(rung=rung, **found)


@cache
def visit_query() -> Select[Any]:
    """What `visit` asks; its parameters are `at_rung` and those of `leases.named`."""
    t, own, later = trials.c, rungs.alias().c, rungs.alias().c
    rung = bindparam("at_rung", type_=Integer)
    budget = [
        select(c).where(studies.c.study_id == t.study_id).scalar_subquery().label(c.name)
        for c in (studies.c.trials_total, studies.c.epochs_total)
    ]
    before = select(own.value).where(own.trial == t.id, own.rung == rung)
    query = select(
        t.id.label("trial"),
        t.study_id,
        t.ticket,
        *budget,
        t.audited_at,
        before.scalar_subquery().label("before"),
        exists().where(later.trial == t.id, later.rung > rung).label("went_past"),
    )
    return query.where(leases.held_by_name(leases.Kind.TRIAL)).with_for_update()


def mark(connection: Connection, visit: Visit, signal: float) -> Count:
    """Record a trial's signal at a rung, once however often it gets there; what the rung has then.

    A signal that is not finite is given as infinite: it is the worst, and is not counted. Diverged
    trials as peers let more of the bad ones pass: counted at the rung that they did not reach, they
    raised the regret at 20 trials' epochs from 0.61 to 0.68 error points (512 AlexNet runs, of
    which 147 diverged, benchmarks/replay.py).
    """
    change = rung_counts.Change(
        trial=visit.trial,
        study_id=visit.study_id,
        rung=visit.rung,
        signal=signal,
        before=visit.before,
    )
    return rung_counts.add(connection, change)


def is_among_best(
    connection: Connection, visit: Visit, count: Count, signal: float, place: int
) -> bool:
    """Whether fewer than `place` marks at the rung are strictly lower than the signal."""
    decided = count.decides(signal, place)
    if decided is not None:
        return decided
    return signal <= rung_counts.move_cut(connection, visit.study_id, visit.rung, count, place)


def of_study(connection: Connection, study_id: int) -> list[Mark]:
    """Every mark of a study, by trial and rung."""
    c = rungs.c
    query = select(c.trial, c.rung, c.value).where(c.study_id == study_id)
    return [Mark(*row) for row in connection.execute(query.order_by(c.trial, c.rung))]
