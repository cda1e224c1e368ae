"""Leases: who may write to a trial, range test or confirmation run, and until when.

A lease ends by itself unless its worker renews it; time is the database's alone. What a worker
writes names its attempt: one that lost its lease writes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    Table,
    and_,
    bindparam,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from lrsearch.plain_data import Fields
from lrsearch.storage.column_types import db_now, db_started
from lrsearch.storage.records import LeaseRecord, fetch_first_as
from lrsearch.storage.tables import confirmations, leases, range_tests, trials
from lrsearch.trial.states import TrialState


class Kind(StrEnum):
    """What is held."""

    TRIAL = "trial"
    RANGE_TEST = "range test"
    CONFIRMATION = "confirmation"


#: Tables of what is held; each has id, study_id, state, worker, attempt, deaths.
TABLES: dict[Kind, Table] = {
    Kind.TRIAL: trials,
    Kind.RANGE_TEST: range_tests,
    Kind.CONFIRMATION: confirmations,
}


#: In leases: what expires later than so many from now was begun by another clock.
LONGEST = 2.0


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's hold on a trial, range test or confirmation run."""

    kind: Kind = Kind.TRIAL
    id: int
    attempt: int
    #: None: no worker holds it.
    worker: str | None


@dataclass(frozen=True, kw_only=True)
class Freed:
    """A trial, range test or confirmation run whose worker was lost."""

    kind: Kind
    id: int
    attempt: int
    #: That was lost.
    worker: str
    #: Workers lost in it without a new checkpoint, this one included.
    deaths: int


def held(claim: Claim) -> ColumnElement[bool]:
    """The fence: that the claim still stands. It is in the WHERE of everything a worker writes."""
    c = TABLES[claim.kind].c
    return and_(
        c.id == claim.id,
        c.attempt == claim.attempt,
        c.worker == claim.worker,
        c.state == TrialState.RUNNING,
    )


def held_by_name(kind: Kind) -> ColumnElement[bool]:
    """As `held`, for a statement that is built once; `named` gives its parameters."""
    c = TABLES[kind].c
    return and_(
        c.id == bindparam("claim_id"),
        c.attempt == bindparam("claim_attempt"),
        # A claim that nobody holds has no worker: NULL equals nothing.
        c.worker.is_not_distinct_from(bindparam("claim_worker", type_=String)),
        c.state == TrialState.RUNNING,
    )


def named(claim: Claim) -> Fields:
    return {
        "claim_id": claim.id,
        "claim_attempt": claim.attempt,
        "claim_worker": claim.worker,
    }


def take(connection: Connection, study_id: int, claim: Claim, seconds: float) -> None:
    """Begin the lease of what was just claimed, in the same transaction."""
    c = leases.c
    values = {
        "worker": claim.worker,
        "attempt": claim.attempt,
        "expires_at": db_now() + seconds,
    }
    mine = and_(c.kind == claim.kind, c.item == claim.id)
    if not connection.execute(update(leases).where(mine).values(**values)).rowcount:
        row = {"kind": claim.kind, "item": claim.id, "study_id": study_id, "stop": False}
        connection.execute(insert(leases).values(**row, **values))


def renew(connection: Connection, claims: Collection[Claim], seconds: float) -> dict[Claim, bool]:
    """Hold on for so many seconds from now; of each that is not lost, whether to stop it."""
    c = leases.c
    mine = {(str(one.kind), one.id, one.attempt, one.worker): one for one in claims}
    query = (
        update(leases)
        .where(tuple_(c.kind, c.item, c.attempt, c.worker).in_(mine), c.expires_at.is_not(None))
        .values(expires_at=db_now() + seconds)
        .returning(c.kind, c.item, c.attempt, c.worker, c.stop)
    )
    return {mine[tuple(key)]: stop for *key, stop in connection.execute(query)}


#: Its parameters are `of_kind`, `of_item` and `of_attempt`.
LET_GO = (
    update(leases)
    .where(
        leases.c.kind == bindparam("of_kind"),
        leases.c.item == bindparam("of_item"),
        leases.c.attempt == bindparam("of_attempt"),
    )
    .values(expires_at=None)
)


def let_go(connection: Connection, claim: Claim) -> None:
    """End a lease, in the transaction that ends or releases what it was of."""
    mine = {"of_kind": claim.kind, "of_item": claim.id, "of_attempt": claim.attempt}
    connection.execute(LET_GO, mine)


def reap(
    connection: Connection, study_id: int, seconds: float, *, dead: Collection[str] = ()
) -> list[Freed]:
    """Free what was not renewed in time, and what workers known to be `dead` held.

    Nothing expires in the first `seconds` (those of a lease) after the server's start: workers that
    live renew first. A start to come is that of a clock that was set back since.
    """
    freed: list[Freed] = []
    settled = or_(db_started() + seconds < db_now(), db_started() > db_now())
    for kind, table in TABLES.items():
        t, c = table.c, leases.c
        lease = and_(c.kind == kind, c.item == t.id, c.attempt == t.attempt)
        late = or_(c.item.is_(None), c.expires_at.is_(None), c.expires_at < db_now())
        query = (
            select(t.id, t.attempt, t.worker, (t.deaths + 1).label("deaths"))
            .outerjoin(leases, lease)
            .where(
                t.study_id == study_id,
                t.state == TrialState.RUNNING,
                t.worker.is_not(None),
                or_(and_(late, settled), t.worker.in_(dead)),
            )
            .with_for_update(of=table, skip_locked=True)
        )
        for found in connection.execute(query).mappings().all():
            row = Freed(kind=kind, **found)
            free = update(table).where(t.id == row.id)
            connection.execute(free.values(worker=None, deaths=row.deaths))
            let_go(connection, Claim(kind=kind, id=row.id, attempt=row.attempt, worker=row.worker))
            freed.append(row)
    return freed


def shorten(connection: Connection, study_id: int, seconds: float) -> None:
    """Let no lease last longer than `seconds` from now, and a margin as long.

    Longer are those that began before the server's clock was set back; who lives renews them.
    """
    c = leases.c
    long = (c.study_id == study_id, c.expires_at > db_now() + LONGEST * seconds)
    connection.execute(update(leases).where(*long).values(expires_at=db_now() + seconds))


def take_back_death(connection: Connection, claim: Claim) -> None:
    """Count one death less: the lease ended while its worker was out of touch, but it lives.

    Done twice, after a lost acknowledgement, it takes back one too many.
    """
    table = TABLES[claim.kind]
    c = table.c
    query = update(table).where(
        c.id == claim.id, c.state == TrialState.RUNNING, c.deaths > 0, c.attempt >= claim.attempt
    )
    connection.execute(query.values(deaths=c.deaths - 1))


def holders(connection: Connection, study_id: int) -> list[str]:
    """The workers that hold anything of the study."""
    names: set[str] = set()
    for table in TABLES.values():
        c = table.c
        running = (c.study_id == study_id, c.state == TrialState.RUNNING, c.worker.is_not(None))
        names.update(connection.execute(select(c.worker).where(*running)).scalars())
    return sorted(names)


def release(connection: Connection, study_id: int, workers: Sequence[str]) -> int:
    """Let go of everything that these workers hold; how many things it was. No death is counted."""
    count = 0
    for kind, table in TABLES.items():
        c = table.c
        query = (
            update(table)
            .where(c.study_id == study_id, c.state == TrialState.RUNNING, c.worker.in_(workers))
            .values(worker=None)
            .returning(c.id, c.attempt)
        )
        for item, attempt in connection.execute(query).all():
            let_go(connection, Claim(kind=kind, id=item, attempt=attempt, worker=None))
            count += 1
    return count


def ask_to_stop(connection: Connection, kind: Kind, item: int) -> bool:
    """Ask the worker that holds it to end it; False if none does."""
    c = leases.c
    query = update(leases).where(c.kind == kind, c.item == item, c.expires_at.is_not(None))
    return bool(connection.execute(query.values(stop=True)).rowcount)


def end_stale(connection: Connection, study_id: int) -> int:
    """End leases of what has ended or was let go of; how many there were."""
    count = 0
    for kind, table in TABLES.items():
        c = table.c
        held = select(c.id).where(
            c.study_id == study_id, c.state == TrialState.RUNNING, c.worker.is_not(None)
        )
        stale = (
            leases.c.study_id == study_id,
            leases.c.kind == kind,
            leases.c.expires_at.is_not(None),
            leases.c.item.not_in(held),
        )
        count += connection.execute(update(leases).where(*stale).values(expires_at=None)).rowcount
    return count


def of_item(connection: Connection, kind: Kind, item: int) -> LeaseRecord | None:
    """A lease with the seconds that are `left` of it; None if there never was one."""
    c = leases.c
    left = (c.expires_at - db_now()).label("left")
    query = select(leases, left).where(c.kind == kind, c.item == item)
    return fetch_first_as(connection, query, LeaseRecord)


def take_free(
    connection: Connection, kind: Kind, item: int, worker: str, seconds: float
) -> Claim | None:
    """Claim this row, if it runs and no worker holds it; None otherwise."""
    table = TABLES[kind]
    c = table.c
    query = (
        update(table)
        .where(c.id == item, c.state == TrialState.RUNNING, c.worker.is_(None))
        .values(worker=worker, attempt=c.attempt + 1)
        .returning(c.study_id, c.attempt)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    claim = Claim(kind=kind, id=item, attempt=row.attempt, worker=worker)
    take(connection, row.study_id, claim, seconds)
    return claim
