"""What is asked of rungs: the marks that trials have left there, and how a trial compares."""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, RowMapping, Select, bindparam, exists, select

from lrsearch.storage import leases, rung_counts
from lrsearch.storage.curves import require_recipe
from lrsearch.storage.leases import Claim
from lrsearch.storage.rung_counts import Change, Count
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

    def change(self, signal: float) -> Change:
        """Its mark there, as others count it."""
        return Change(
            trial=self.trial,
            study_id=self.study_id,
            rung=self.rung,
            signal=signal,
            before=self.before,
        )


def visit(connection: Connection, claim: Claim, rung: int) -> Visit | None:
    """What is known of a trial that has come to a rung; None if the claim is lost.

    The trial stays locked until the transaction ends. Raises LostRowsError if it has no recipe.
    """
    found = (
        connection.execute(visit_query(), {"at_rung": rung, **leases.named(claim)})
        .mappings()
        .first()
    )
    return None if found is None else visit_of(found, rung)


def visit_of(found: RowMapping, rung: int) -> Visit:
    """From the row of a held trial. Raises LostRowsError if it has no recipe."""
    require_recipe(found["fingerprint"])
    return Visit(rung=rung, **{name: found[name] for name in _VISIT})


_VISIT = tuple(name for name in Visit.__dataclass_fields__ if name != "rung")


@cache
def visit_query() -> Select[Any]:
    """What `visit` asks; its parameters are `at_rung` and those of `leases.named`."""
    t, own, later = trials.c, rungs.alias("own").c, rungs.alias("later").c
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
        t.fingerprint,
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
    return rung_counts.add(connection, visit.change(signal))


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
