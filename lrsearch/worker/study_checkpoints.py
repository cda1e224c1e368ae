"""The checkpoints of a study as a worker finds them: where they lie, and how much is kept."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from lrsearch.spec.parts import Checkpointing
from lrsearch.storage import checkpoints
from lrsearch.storage.checkpoint_store import CheckpointStore
from lrsearch.storage.leases import Claim
from lrsearch.storage.records import CheckpointRecord
from lrsearch.study.checkpoint_cleanup import store_of
from lrsearch.study.open_study import OpenStudy

log = logging.getLogger("lrsearch")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept when a checkpoint is to be made."""

    #: Of the trial, newest first.
    of_trial: Sequence[CheckpointRecord]
    #: Bytes of all the study's.
    total: int

    @property
    def replaced(self) -> Sequence[CheckpointRecord]:
        """Of no use once there is one more."""
        return self.of_trial[1:]


class StudyCheckpoints:
    """Where a worker keeps the checkpoints of whatever it trains for a study."""

    def __init__(self, search: OpenStudy, store: CheckpointStore) -> None:
        self.search, self.store = search, store
        self.database, self.study_id = search.database, search.study_id
        self.settings: Checkpointing = search.spec.checkpoints
        self._warned = False

    @classmethod
    def of(cls, search: OpenStudy) -> "StudyCheckpoints":
        """Raises SpecError if the study's folder or URL cannot be used from here."""
        return cls(search, store_of(search))

    def kept(self, connection: Connection, claim: Claim) -> Kept:
        """What is kept of a trial or run, and of all."""
        return Kept(
            of_trial=checkpoints.newest_first(connection, claim.kind, claim.id),
            total=checkpoints.total_bytes(connection, self.study_id),
        )

    def is_full(self, total: int, more: int) -> bool:
        """Whether `more` bytes are too many beside `total`; the first time, a line says so."""
        full = total + more > self.settings.at_most
        if full and not self._warned:
            log.warning(
                "the study's checkpoints hold %.3g GB of at most %.3g GB (checkpoints.at_most); "
                "no more are made until trials end",
                total / 1e9,
                self.settings.at_most / 1e9,
            )
        self._warned = self._warned or full
        return full
