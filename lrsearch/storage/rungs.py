"""What is asked of rungs: the marks that trials have left there, and how a trial compares."""

import math
from typing import NamedTuple

from sqlalchemy import Connection, case, func, or_, select

from lrsearch.storage import leases
from lrsearch.storage.leases import Claim
from lrsearch.storage.rows import insert_or
from lrsearch.storage.tables import rungs, trials


class Mark(NamedTuple):
    """What a trial left at a rung: lower is better, infinite where it was not finite."""

    trial: int
    rung: int
    signal: float


class Peers(NamedTuple):
    """The other trials that have reached a rung, and how many of them are strictly better."""

    others: int
    better: int


def went_past(connection: Connection, trial: int, rung: int) -> bool:
    """Whether an earlier attempt has a mark at a later rung, or the trial is audited by here."""
    later = select(rungs.c.rung).where(rungs.c.trial == trial, rungs.c.rung > rung)
    audited = select(trials.c.id).where(trials.c.id == trial, trials.c.audited_at <= rung)
    return bool(connection.execute(select(or_(later.exists(), audited.exists()))).scalar())


def mark(connection: Connection, study_id: int, claim: Claim, rung: int, value: float) -> bool:
    """Record a trial's signal at a rung, once however often it gets there; False if it is lost.

    A signal that is not finite is the worst. An audited trial leaves no mark beyond the rung that
    would have stopped it: others are compared with what pruning lets pass.
    """
    query = select(trials.c.audited_at).where(leases.held(claim)).with_for_update()
    held = connection.execute(query).first()
    if held is None:
        return False
    if held.audited_at is not None and held.audited_at < rung:
        return True
    signal = value if math.isfinite(value) else math.inf
    row = {"trial": claim.id, "rung": rung, "study_id": study_id, "value": signal}
    mark = insert_or(connection, rungs).values(row)
    connection.execute(
        mark.on_conflict_do_update(index_elements=["trial", "rung"], set_={"value": signal})
    )
    return True


def peers(connection: Connection, study_id: int, trial: int, rung: int) -> Peers:
    """The others at the rung that this trial has a mark at; those that are not finite are none.

    Diverged trials as peers let more of the bad ones pass: counted at the rung that they did not
    reach, they raised the regret at 20 trials' epochs from 0.61 to 0.68 error points (512 AlexNet
    runs, of which 147 diverged, benchmarks/replay.py).
    """
    c, own = rungs.c, rungs.alias().c
    signal = select(own.value).where(own.trial == trial, own.rung == rung).scalar_subquery()
    query = select(func.count(), func.count(case((c.value < signal, 1)))).where(
        c.study_id == study_id, c.rung == rung, c.trial != trial, c.value < math.inf
    )
    return Peers(*connection.execute(query).one())


def of_study(connection: Connection, study_id: int) -> list[Mark]:
    """Every mark of a study, by trial and rung."""
    c = rungs.c
    query = select(c.trial, c.rung, c.value).where(c.study_id == study_id)
    return [Mark(*row) for row in connection.execute(query.order_by(c.trial, c.rung))]
