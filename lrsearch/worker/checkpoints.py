"""A worker's checkpoints: when one is due, how it is saved, and how a trial goes on from it."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from lrsearch.errors import describe
from lrsearch.storage import checkpoints, curves
from lrsearch.storage.checkpoint_store import Saved
from lrsearch.storage.curves import LostRowsError
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.moments import complaint, passes
from lrsearch.storage.outages import Patience
from lrsearch.study.checkpoint_cleanup import branch_point_of
from lrsearch.study.trunk import trunk_of
from lrsearch.training.training import Training
from lrsearch.trial.curve import Validation
from lrsearch.worker.study_checkpoints import Kept, StudyCheckpoints

log = logging.getLogger("lrsearch")

#: At a rung a checkpoint is made if so many seconds of training would be lost without it.
RUNG_SECONDS = 1.0
#: A checkpoint is due only after so many times the seconds that the last one took: at most 5 %.
COST_FACTOR = 20.0
#: A save waits for a database that is away no longer than that: training goes on without it.
ANSWER_SECONDS, NO_PATIENCE = 5.0, Patience(seconds=0)


class Checkpoints:
    """What a worker saves of one trial or run.

    `resume` comes first, also for one that begins. Measured on a local disk and PostgreSQL, with
    AdamW and the weight average: 10 ms for a checkpoint of 0.1 MB (a small MLP), 150 ms for one of
    40 MB (10 MB of weights), half of it for the disk; going on from it takes 4 and 80 ms.
    """

    def __init__(self, study_checkpoints: StudyCheckpoints) -> None:
        self.study_checkpoints, self.database, self.store = (
            study_checkpoints,
            study_checkpoints.database,
            study_checkpoints.store,
        )
        #: Seconds of training, and position, at the last checkpoint or the start.
        self._saved_at, self._position = 0.0, (0, 0)
        #: Seconds that the last one took to save.
        self._cost = 0.0
        self._warned = False
        #: Of no use once the checkpoint is recorded that was written at a rung.
        self._replaced_at_rung: set[str] = set()
        #: Whether there may be files of the trial.
        self._leaves_files = False

    def resume(self, claim: Claim, training: Training) -> list[Validation] | None:
        """Put a fresh `training` where its newest checkpoint stands that can be used here.

        Returns the rows that the database did not have then; None if there is no such checkpoint,
        with a line in the log if there should be.
        """
        pending = None
        self._leaves_files = claim.attempt > 1
        if claim.attempt > 1:
            pending = self._resume(claim, training)
        if pending is None:
            pending = self._begin_from(claim, training)
        self._stands(training)
        return pending

    def _resume(self, claim: Claim, training: Training) -> list[Validation] | None:
        rows = self.database.look(
            lambda connection: checkpoints.newest_first(connection, claim.kind, claim.id)
        )
        for row in rows:
            if row.bytes > self.study_checkpoints.settings.at_most:
                log.warning("checkpoint %s has more bytes than checkpoints.at_most", row.file)
                continue
            data = self.store.read(row.file, row.sha256, row.bytes)
            pending = None if data is None else training.unpack(data)
            if pending is not None:
                log.info("going on from checkpoint %s", row.file)
                return pending
        return None

    def _begin_from(self, claim: Claim, training: Training) -> list[Validation] | None:
        """Stand at another run's branch point, with the rows up to there.

        That is the one that the study names, or in a ladder that of the longest run of its rate.
        """
        data = self._trunk(claim, training)
        if data is None:
            return None
        from lrsearch.training.checkpoint_state import unpack
        from lrsearch.training.trial_training import TrialTraining

        assert isinstance(training, TrialTraining)
        return unpack(training, data, branches=True)

    def _trunk(self, claim: Claim, training: Training) -> bytes | None:
        named = self.study_checkpoints.settings.begin_from
        if named is None:
            is_trial = claim.kind == Kind.TRIAL
            return trunk_of(self.study_checkpoints.search, training.recipe) if is_trial else None
        data = branch_point_of(self.database, named)
        if data is None:
            log.warning("study %s left no checkpoint that is here; beginning at step 0", named)
        return data

    def leave_branch_point(
        self, claim: Claim, training: Training, curve: Sequence[Validation]
    ) -> None:
        """Keep the trial as it stands for runs of other studies, with its whole curve.

        If it cannot be kept, one line is logged: those runs then begin at step 0. Raises
        LostRowsError if the database has lost its recipe.
        """
        self._leaves_files = True
        try:
            data = training.pack(curve)
            saved = self.store.write(claim.kind, claim.id, training.step, data)
            self.database.run(
                lambda connection: checkpoints.record(connection, claim, saved, branches=True)
            )
        except LostRowsError:
            raise
        except Exception as error:  # as in `save`
            self._warn(claim, complaint(error) if passes(error) else describe(error))

    def _stands(self, training: Training) -> None:
        self._saved_at = training.seconds
        self._position = (training.step, training.validated)

    def due(self, training: Training, among: int = 1) -> bool:
        """Whether so much would be lost that a checkpoint is worth its time.

        `among` trials are in training together: each takes its share of the time, all are lost.
        """
        lost = training.seconds - self._saved_at
        enough = RUNG_SECONDS if training.at_rung else self.study_checkpoints.settings.every
        return lost >= max(enough / among, COST_FACTOR * self._cost)

    def save(
        self,
        claim: Claim,
        training: Training,
        pending: Sequence[Validation] = (),
        *,
        taken: int | None = None,
    ) -> bool:
        """Keep the trial as it stands, with the rows that are not in the database yet.

        False if the claim is lost, or if it cannot be kept: then one line per trial is logged.
        `taken` is as in `Arrival`. Raises LostRowsError.
        """
        if self._position == (training.step, training.validated):
            return True
        done = False
        with self._trying(claim, training):
            done = self._save(claim, training, pending, taken)
        if done:
            self._stands(training)
        return done

    def write_at_rung(self, claim: Claim, training: Training) -> Saved | None:
        """Write the trial as it stands, to be recorded with its arrival at a rung.

        None if it cannot be kept: then one line per trial is logged. A database that is away is
        waited for, as the arrival waits for it. Raises StorageError when that takes too long.
        """
        kept = self.database.look(lambda connection: self.study_checkpoints.kept(connection, claim))
        saved = None
        with self._trying(claim, training):
            saved = self._write(claim, training, (), kept)
        if saved is not None:
            self._replaced_at_rung = {row.file for row in kept.replaced} - {saved.file}
        return saved

    def recorded_at_rung(self, training: Training) -> None:
        """What was written there is the newest checkpoint now."""
        self.store.remove(self._replaced_at_rung)
        self._stands(training)

    @contextmanager
    def _trying(self, claim: Claim, training: Training) -> Iterator[None]:
        """Whatever fails inside, but for LostRowsError, costs no more than the checkpoint."""
        started = time.monotonic()
        try:
            yield
        except LostRowsError:
            raise
        except Exception as error:
            # A foreign optimizer's state, a full disk, a bucket's own errors, a lost connection:
            # none of them is a reason to stop training.
            self._warn(claim, complaint(error) if passes(error) else describe(error))
        finally:
            self._cost = time.monotonic() - started
            self._saved_at = training.seconds  # the next try is as far away, whatever came of this

    def _save(
        self,
        claim: Claim,
        training: Training,
        pending: Sequence[Validation],
        taken: int | None,
    ) -> bool:
        # First: while the database is away, nothing is written.
        kept = self.database.look(
            lambda connection: self.study_checkpoints.kept(connection, claim),
            answer_seconds=ANSWER_SECONDS,
            patience=NO_PATIENCE,
        )
        saved = self._write(claim, training, pending, kept)
        if saved is None:
            return False

        def record(connection: Connection) -> bool:
            if not checkpoints.record(connection, claim, saved):
                return False
            if taken is not None:  # who goes on from here has no other rows than these
                before = pending[0].validation if pending else None
                curves.require(connection, claim, taken - len(pending), before=before)
            return True

        done = self.database.run(
            record,
            answer_seconds=ANSWER_SECONDS,
            patience=NO_PATIENCE,
        )
        useless = {row.file for row in kept.replaced} if done else {saved.file}
        useless -= {saved.file} if done else {row.file for row in kept.of_trial}
        self.store.remove(useless)
        return done

    def _write(
        self, claim: Claim, training: Training, pending: Sequence[Validation], kept: Kept
    ) -> Saved | None:
        """None if the study's checkpoints are as large as they may be."""
        data = training.pack(pending)
        replaced = sum(row.bytes for row in kept.replaced)
        if self.study_checkpoints.is_full(kept.total, len(data) - replaced):
            return None
        self._leaves_files = True
        return self.store.write(claim.kind, claim.id, training.step, data)

    def forget(self, claim: Claim, *, but_newest: bool = False) -> None:
        """Remove the checkpoints of what this worker has ended, but the newest if it is to stay."""
        if not self._leaves_files:
            return
        stays = self.database.run(
            lambda connection: checkpoints.forget(
                connection, claim.kind, claim.id, but_newest=but_newest
            )
        )
        self.store.remove_all_of(claim.kind, claim.id, but=stays)
        self._leaves_files = False

    def _warn(self, claim: Claim, reason: str) -> None:
        if not self._warned:
            log.warning(
                "no checkpoint of %s with id %d can be kept: %s", claim.kind, claim.id, reason
            )
        self._warned = True
