"""Trials that chaos.py's storm has cost three workers in a row, with lrsearch's default times.

A trial of 5 s has no checkpoint but those at rungs then, so a storm can take its worker three times
without one in between. It counts as to blame, and fails: nothing tells it from one that kills its
workers. So each such trial is looked at: whether the storm had hurt all whom it lost.
"""

from chaos_checks import Check, Found, is_blamed
from chaos_fleet import Fleet
from sqlalchemy import select

from lrsearch.storage import tables, worker_identity
from lrsearch.study.lost_work import MOST_DEATHS


def blamed(found: Found, fleet: Fleet) -> Check:
    """Trials that failed for their workers' deaths, none of which was their own doing."""
    c = tables.events.c
    query = select(c.worker, c.what).where(c.study_id == found.search.study_id).order_by(c.id)
    with found.search.database.read() as connection:
        notes = list(connection.execute(query))
    hurt = {worker.process.pid for worker in fleet.everyone if worker.hurt}
    rows, broken = [row for row in found.trials if is_blamed(row)], []
    for row in rows:
        said = (f"trial {row['number']} is free again", f"trial {row['number']} failed: its worker")
        lost = [worker for worker, what in notes if what.startswith(said)][-MOST_DEATHS:]
        broken += [
            f"trial {row['number']} failed, and lost {worker}, which was not hurt"
            for worker in lost
            if worker_identity.place(worker)[1] not in hurt
        ]
        if not lost:
            broken.append(f"trial {row['number']} failed, and no loss of it was noted")
    return Check(what="trials that lost three workers in a row", count=len(rows), broken=broken)
