"""The files behind a study's checkpoints: where they are, and which have had their time."""

import hashlib
import logging
from datetime import UTC, datetime

from sqlalchemy import Connection

from lrsearch.child_process import folders
from lrsearch.errors import SpecError
from lrsearch.storage import checkpoints, studies
from lrsearch.storage.checkpoint_store import CheckpointStore, owner
from lrsearch.storage.database import Database
from lrsearch.storage.records import CheckpointRecord, StudyRecord
from lrsearch.study.deletion import delete_rows
from lrsearch.study.stored_study import StoredStudy

log = logging.getLogger("lrsearch")


def store_of(search: StoredStudy) -> CheckpointStore:
    """The folder of a study's checkpoints. Raises SpecError if it cannot be used from here.

    It is the study's own, though another database may have one that was created in the same second:
    when that was (UTC), and a mark. A study's name is no part of it: `study extend` changes that.
    """
    study = search.database.look(lambda connection: studies.by_id(connection, search.study_id))
    created = 0.0 if study is None else study.created_at
    made = repr(search.study_id if study is None else created)
    mark = hashlib.sha256(made.encode()).hexdigest()[:8]
    day = datetime.fromtimestamp(created, UTC).strftime("%Y%m%d-%H%M%S")
    return CheckpointStore(search.spec.checkpoints.to, f"study-{day}-{mark}")


def branch_point_of(database: Database, name: str) -> bytes | None:
    """The checkpoint that the trial of this study left for others; None if it is not here."""

    def look(connection: Connection) -> tuple[StudyRecord, CheckpointRecord] | None:
        study = studies.by_name(connection, name)
        row = None if study is None else checkpoints.branch_point(connection, study.study_id)
        return None if study is None or row is None else (study, row)

    found = database.look(look)
    if found is None:
        return None
    study, row = found
    return store_of(StoredStudy(database, study)).read(row.file, row.sha256, row.bytes)


def sweep(search: StoredStudy, store: CheckpointStore) -> int:
    """Remove the files of what no longer runs; how many it was.

    They are left when a worker dies between the end of a trial and their removal, when another
    machine has gone on with a trial, or when the study was deleted meanwhile.
    """
    names = store.names()  # first: what is written from now on is not looked at
    keep = search.spec.checkpoints.keep_weights
    running = search.database.run(
        lambda connection: checkpoints.forget_ended(connection, search.study_id, keep_weights=keep)
    )
    return store.remove(
        name for name in names if (whose := owner(name)) is not None and whose not in running
    )


def sweep_closed(search: StoredStudy) -> None:
    """Remove the checkpoints of what no worker has ended, where they can be reached from here."""
    store = _reachable(search)
    if store is not None:
        sweep(search, store)


def delete_study(search: StoredStudy) -> None:
    """Delete a study, and its checkpoints and its trials' folders where they are reached from here.

    A study of a script has folders below the current one, see `child_process.folders`.
    """
    store = _reachable(search)
    delete_rows(search)
    if store is not None:
        sweep(search, store)
    try:
        folders.remove_study(search.name)
    except OSError as error:
        log.warning("%s stays: %s", folders.study_folder(search.name), error.strerror)


def move_folders(study: str, new: str) -> None:
    """Let the folders of a study's trials follow its name, where they are below the current one."""
    try:
        folders.move_study(study, new)
    except OSError as error:
        log.warning("%s stays: %s", folders.study_folder(study), error.strerror)


def _reachable(search: StoredStudy) -> CheckpointStore | None:
    try:
        return store_of(search)
    except SpecError as error:
        log.warning("checkpoints stay where they are: %s", error)
        return None
