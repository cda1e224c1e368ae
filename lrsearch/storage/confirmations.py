"""What is asked of confirmation runs: plan, claim, end, list."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import Connection, case, delete, insert, select, update

from lrsearch.storage import claims, leases
from lrsearch.storage.ends import End
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.records import ConfirmationRecord, fetch_as
from lrsearch.storage.tables import confirmations, studies
from lrsearch.trial.states import WAITING


class Planned(Protocol):
    """A run to be planned; see the columns of its table."""

    @property
    def round(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def test(self) -> Mapping[str, float | None] | None: ...


def everything(connection: Connection, study_id: int) -> Sequence[ConfirmationRecord]:
    query = (
        select(confirmations)
        .where(confirmations.c.study_id == study_id)
        .order_by(confirmations.c.id)
    )
    return fetch_as(connection, query, ConfirmationRecord)


def winner(connection: Connection, study_id: int) -> int | None:
    """The number of the trial that was tested, else of the one that led the choice; None before."""
    c = confirmations.c
    query = select(c.number).where(c.study_id == study_id, c.role == "winner")
    tested_first = case({"test": 0}, value=c.round, else_=1)
    return connection.execute(query.order_by(tested_first, c.id).limit(1)).scalar()


def add(connection: Connection, study_id: int, runs: Sequence[Planned]) -> None:
    """Plan runs; they wait for a worker."""
    start = {"study_id": study_id, "state": WAITING, "attempt": 0, "epochs": 0.0, "seconds": 0.0}
    rows = [
        {
            **start,
            "round": run.round,
            "role": run.role,
            "number": run.number,
            "seed": run.seed,
            "test": run.test,
        }
        for run in runs
    ]
    connection.execute(insert(confirmations), rows)


def lock(connection: Connection, study_id: int) -> None:
    """Lock all runs until the transaction ends.

    Runs are locked before their study, as by a worker that ends one: then neither waits for ever.
    """
    c = confirmations.c
    query = select(c.id).where(c.study_id == study_id).order_by(c.id).with_for_update()
    connection.execute(query).all()


def clear(connection: Connection, study_id: int) -> None:
    """Forget all runs, for a confirmation that is asked for anew."""
    connection.execute(delete(confirmations).where(confirmations.c.study_id == study_id))


def claim(
    connection: Connection,
    study_id: int,
    worker: str,
    lease: float,
    *,
    deaths_below: int | None = None,
) -> ConfirmationRecord | None:
    """Claim the next run that no worker trains, for `lease` seconds; see `claims.claim`."""
    kind = Kind.CONFIRMATION
    run = claims.claim(
        connection, kind, ConfirmationRecord, study_id, worker, deaths_below=deaths_below
    )
    if run is not None:
        leases.take(connection, study_id, claim_of(run), lease)
    return run


def record(connection: Connection, run: ConfirmationRecord, end: End) -> bool:
    """End a run, once; False if another worker has taken it over."""
    if not claims.record(connection, claim_of(run), end):
        return False
    connection.execute(
        update(studies)
        .where(studies.c.study_id == run.study_id)
        .values(epochs_used=studies.c.epochs_used + end.epochs)
    )
    leases.let_go(connection, claim_of(run))
    return True


def claim_of(run: ConfirmationRecord) -> Claim:
    """A worker's hold on a run that it has claimed."""
    return Claim(kind=Kind.CONFIRMATION, id=run.id, attempt=run.attempt, worker=run.worker)


def workers(connection: Connection, study_id: int) -> list[str]:
    """The workers that train confirmation runs of the study."""
    return claims.workers(connection, Kind.CONFIRMATION, study_id)
