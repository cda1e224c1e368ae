"""The files behind a study's checkpoints: where they are, and which have had their time."""

import hashlib
import logging

from lrsearch.errors import SpecError
from lrsearch.storage import checkpoints, studies
from lrsearch.study.search import Search
from lrsearch.training.store import CheckpointStore, owner

log = logging.getLogger("lrsearch")


def store_of(search: Search) -> CheckpointStore:
    """The folder of a study's checkpoints. Raises SpecError if it cannot be used from here.

    It is the study's own, though another database may have a study of the same name.
    """
    study = search.database.look(lambda connection: studies.by_id(connection, search.study_id))
    made = repr(search.study_id if study is None else study["created_at"])
    mark = hashlib.sha256(made.encode()).hexdigest()[:8]
    return CheckpointStore(search.spec.checkpoints.to, f"{search.name}-{mark}")


def sweep(search: Search, store: CheckpointStore) -> int:
    """Remove the files of what no longer runs; how many it was.

    They are left when a worker dies between the end of a trial and their removal, when another
    machine has gone on with a trial, or when the study was deleted meanwhile.
    """
    names = store.names()  # first: what is written from now on is not looked at
    running = search.database.run(
        lambda connection: checkpoints.forget_ended(connection, search.study_id)
    )
    return store.remove(
        name for name in names if (whose := owner(name)) is not None and whose not in running
    )


def delete_study(search: Search) -> None:
    """Delete a study, and its checkpoints where they can be reached from here."""
    try:
        store = store_of(search)
    except SpecError as error:
        log.warning("checkpoints stay where they are: %s", error)
        search.delete()
        return
    search.delete()
    sweep(search, store)
