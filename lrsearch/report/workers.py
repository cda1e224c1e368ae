"""Who works on a study, as `lrsearch workers` shows it."""

from datetime import UTC, datetime
from typing import Any

from lrsearch.storage import workers
from lrsearch.storage.rows import Row
from lrsearch.storage.worker_identity import place
from lrsearch.study.open_study import OpenStudy

#: Lines about faults that are shown.
SHOWN_NOTES = 5


def worker_rows(search: OpenStudy, *, everyone: bool) -> list[dict[str, Any]]:
    """Workers in the order in which they began; `everyone` includes those that have ended.

    A worker that was not seen for two leases is `silent`: dead, hung, or cut off.
    """
    with search.database.read() as connection:
        rows = workers.everyone(connection, search.study_id)
    found = [
        {
            "worker": row["name"],
            **dict(zip(("host", "pid"), place(row["name"]), strict=True)),
            "device": row["device"],
            "version": row["version"],
            "state": _state(row, search.spec.lease.seconds),
            "doing": row["doing"],
            "seen_seconds_ago": row["since"],
            "started": _time(row["started_at"]),
        }
        for row in rows
    ]
    return found if everyone else [row for row in found if row["state"] != "ended"]


def _state(row: Row, lease: float) -> str:
    if row["ended_at"] is not None:
        return "ended"
    return "silent" if row["since"] > 2 * lease else "working"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def last_notes(search: OpenStudy) -> list[str]:
    """The last faults and what was done about them, the newest first."""
    with search.database.read() as connection:
        rows = workers.notes(connection, search.study_id, limit=SHOWN_NOTES)
    return [f"{_time(row['at'])} {row['what']}" for row in rows]
