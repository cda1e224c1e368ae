"""Who works on a study, as `lrsearch status` shows it."""

from datetime import UTC, datetime

from lrsearch.plain_data import Document
from lrsearch.report.load import StudyHandle
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import studies, workers
from lrsearch.storage.records import WorkerRecord
from lrsearch.storage.worker_identity import place

#: Lines about faults that are shown.
SHOWN_NOTES = 5
#: A worker that was not seen for so many leases is silent.
SILENT_LEASES = 2


def worker_rows(study: StudyHandle, *, everyone: bool) -> list[Document]:
    """Workers in the order in which they began; `everyone` includes those that have ended.

    A worker that was not seen for two leases is `silent`: dead, hung, or cut off.
    """
    with study.database.read() as connection:
        record = studies.by_id(connection, study.study_id)
        rows = workers.everyone(connection, study.study_id)
    if record is None:
        return []
    lease = StudySpec.from_stored(record.definition).lease.seconds
    shown = [row for row in rows if everyone or row.ended_at is None]
    return [_worker(row, lease) for row in shown]


def _worker(row: WorkerRecord, lease: float) -> Document:
    host, pid = place(row.name)
    return {
        "worker": row.name,
        "host": host,
        "pid": pid,
        "device": row.device,
        "version": row.version,
        "state": _state(row, lease),
        "doing": row.doing,
        "seen_seconds_ago": row.since,
        "started": _time(row.started_at),
    }


def _state(row: WorkerRecord, lease: float) -> str:
    if row.ended_at is not None:
        return "ended"
    return "silent" if row.since > SILENT_LEASES * lease else "working"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def last_notes(study: StudyHandle) -> list[str]:
    """The last faults and what was done about them, the newest first."""
    with study.database.read() as connection:
        rows = workers.notes(connection, study.study_id, limit=SHOWN_NOTES)
    return [f"{_time(row.at)} {row.what}" for row in rows]
