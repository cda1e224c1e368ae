"""One worker: one process, one device, one loop over what the study asks for."""

import logging
import time
from collections.abc import Callable
from importlib.metadata import version

import torch
from sqlalchemy import Connection

from lrsearch.errors import StorageError, StudyError
from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.loggers.study_log import StudyLog
from lrsearch.storage import (
    leases,
    worker_identity,
    workers,
)
from lrsearch.storage.moments import complaint, passes
from lrsearch.storage.outages import WINDOW_SECONDS, Patience
from lrsearch.study import confirmation, ladder, limits
from lrsearch.study.checkpoint_cleanup import sweep
from lrsearch.study.deletion import refuse_deleted
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.status import dead_holders, is_finished, reap
from lrsearch.worker.context import WorkerContext
from lrsearch.worker.facts import facts
from lrsearch.worker.jobs import range_test
from lrsearch.worker.jobs.confirmation_run import next_run
from lrsearch.worker.jobs.search_trial import next_trial
from lrsearch.worker.leases.renewal import LeaseRenewer
from lrsearch.worker.program import Program
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.study_checkpoints import StudyCheckpoints
from lrsearch.worker.training_loop.job_trainer import JobTrainer

log = logging.getLogger("lrsearch")

#: How often an idle worker looks for work.
IDLE_SECONDS = 0.3


class Worker:
    """Trains what the study asks for, until its budget is used or the process is asked to stop."""

    def __init__(
        self,
        search: OpenStudy,
        program: Program,
        device: torch.device,
        stop: Stop,
        *,
        fuse: FuseOption = "auto",
        compile: CompileOption = "auto",
        started_together: int = 1,
        leave: Callable[[bool], bool] = lambda idle: False,
    ) -> None:
        """`started_together` are the workers that start together, this one included.

        `leave` is asked between two trials, and while the worker is `idle`, whether it goes.
        """
        self.search, self.program, self.stop, self.device = search, program, stop, device
        self.fuse, self.compile, self.started_together = fuse, compile, started_together
        self.leave = leave
        self.name = worker_identity.identity()

    def run(self) -> None:
        """Work until the study is finished; what is held when it ends early is let go of."""
        study_log = StudyLog(self.search)
        renewer = LeaseRenewer(self.search, self.name, str(self.device), version("lrsearch"))
        database = self.search.database
        database.run(
            lambda connection: workers.register(
                connection,
                self.search.study_id,
                self.name,
                device=renewer.device,
                version=renewer.version,
            )
        )
        # It answers: from now on, trouble with it is waited for.
        database.patience = Patience(seconds=WINDOW_SECONDS, give_up=lambda: self.stop.asked)
        try:
            with renewer:
                context = WorkerContext(
                    search=self.search,
                    program=self.program,
                    renewer=renewer,
                    study_checkpoints=StudyCheckpoints.of(self.search),
                    stop=lambda: self.stop.asked,
                    limit=self.stop.limit,
                    log=study_log,
                )
                self._loop(context)
        except StorageError as error:
            # Asked to leave in an outage it goes in order, as at any other time.
            if not (self.stop.asked and passes(error)):
                raise
        except StudyError:
            refuse_deleted(self.search)  # by its name: storage says only that it is gone
            raise
        finally:
            database.patience = Patience(seconds=0, give_up=lambda: self.stop.asked)
            self._leave()
            self.program.close()
            study_log.close()

    def _leave(self) -> None:
        """Let go of everything; a database that does not answer lets the lease run out instead."""

        def let_go(connection: Connection) -> None:
            leases.release(connection, self.search.study_id, [self.name])
            workers.ended(connection, self.search.study_id, self.name)

        try:
            self.search.database.run(let_go)
        except Exception as error:
            if not passes(error):
                raise
            reason = complaint(error)
            log.warning(
                "the database does not answer; this worker's lease will run out: %s", reason
            )

    def _loop(self, context: WorkerContext) -> None:
        refuse_deleted(self.search)
        reap(self.search)
        sweep(self.search, context.study_checkpoints.store)
        if self.stop.asked or is_finished(self.search):
            return
        choice = self.program.choice(
            self.search, self.fuse, self.compile, started_together=self.started_together
        )
        mine = facts(self.device, self.program.data_facts())
        self.search.database.run(
            lambda connection: workers.describe(connection, self.search.study_id, self.name, mine)
        )
        trainer = JobTrainer(context, choice)
        while not self.stop.asked:
            if not self.stop.limit.allows("search"):
                break
            context.renewer.check()
            refuse_deleted(self.search)
            may_train = context.health.may_train(self.search, self.name) and self._has_place()
            if may_train and self._work(context, trainer):
                if self.leave(False):
                    return
                continue
            if self.leave(True):
                return
            if is_finished(self.search):
                self._clean_up(context)
                return
            if dead_holders(self.search):  # what only expires is looked after by the clock
                reap(self.search)
            time.sleep(IDLE_SECONDS)
        limit = self.stop.limit
        if not limit.allows("search"):
            log.info("the time limit is near (%.0f s): others go on", limit.left)

    def _has_place(self) -> bool:
        """Whether the study's limits let this worker train.

        Raises StudyError where the project has used its quota.
        """
        return self.search.database.look(
            lambda connection: limits.has_place(connection, self.search, self.name)
        )

    def _clean_up(self, context: WorkerContext) -> None:
        """What waited for nothing, or failed for its workers' deaths, has left its checkpoint, and
        trackers do not know its end."""
        sweep(self.search, context.study_checkpoints.store)
        for claim in sorted(self.search.pruned, key=lambda claim: claim.id):
            context.log.begin(claim, f"the trial of row {claim.id}")
            context.log.finish(claim)

    def _work(self, context: WorkerContext, trainer: JobTrainer) -> bool:
        """Train a range test, trials or confirmation runs, or plan some; False if there is none."""
        may_test = context.limit.allows("range test")
        test = self.search.claim_range_test(self.name) if may_test else None
        if test is not None:
            range_test.train(context, test)
            return True
        if trainer.train(next_trial) or trainer.train(next_run):
            return True
        if ladder.advance(self.search):
            return True
        return confirmation.advance(self.search, has_test=self.program.has_test)
