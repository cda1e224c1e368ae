"""One worker: one process, one device, one loop over what the study asks for."""

import logging
import time
from functools import cached_property
from importlib.metadata import version

import torch
from sqlalchemy import Connection

from lrsearch import confirm, fusing, range_work
from lrsearch.checkpoint_files import sweep
from lrsearch.checkpoints import Shelf
from lrsearch.confirm_work import next_run
from lrsearch.desk import Desk
from lrsearch.errors import StorageError, TaskError
from lrsearch.keeper import Keeper
from lrsearch.ranges import first_value
from lrsearch.shift import Crew
from lrsearch.stop import Stop
from lrsearch.storage import (
    claims,
    confirmations,
    fleet,
    leases,
    range_tests,
    studies,
    trials,
    workers,
)
from lrsearch.storage.outages import WINDOW_SECONDS, Patience, complaint, passes
from lrsearch.storage.tables import StudyState
from lrsearch.study.search import Search
from lrsearch.task import LoadedTask
from lrsearch.training.setup import TaskCache
from lrsearch.trial_work import next_trial
from lrsearch.wanted import Wanted

log = logging.getLogger("lrsearch")

#: How often an idle worker looks for work.
IDLE_SECONDS = 0.3


def reap(search: Search) -> list[str]:
    """Free what nobody renewed in time, and at once what dead workers of this machine held."""
    lines = search.reap(dead=_dead(search))
    for line in lines:
        log.warning("%s", line)
    return lines


def _dead(search: Search) -> list[str]:
    holders = search.database.look(lambda connection: leases.holders(connection, search.study_id))
    return [name for name in holders if workers.is_dead(name)]


def is_finished(search: Search) -> bool:
    """Whether nothing of the study runs and nothing more will start."""

    def look(connection: Connection) -> bool:
        study = studies.by_id(connection, search.study_id)
        if study is None:
            return True  # it was deleted
        if trials.any_running(connection, search.study_id):
            return False
        runs = confirmations.everything(connection, search.study_id)
        if any(run["state"] in claims.OPEN for run in runs):
            return False
        if range_tests.workers(connection, search.study_id):
            return False
        if study["state"] == StudyState.PAUSED or search.may_start(connection):
            return False
        return not confirm.next_round(connection, search, study)

    return search.database.look(look)


class Worker:
    """Trains what the study asks for, until its budget is used or the process is asked to stop."""

    def __init__(
        self,
        search: Search,
        loaded: LoadedTask,
        device: torch.device,
        stop: Stop,
        *,
        fuse: Wanted = "auto",
        fellows: int = 1,
    ) -> None:
        """`fellows` are the workers that start together, this one included."""
        self.search, self.stop, self.device = search, stop, device
        self.fuse, self.fellows = fuse, fellows
        self.cache = TaskCache(loaded, device)
        self.name = workers.identity()

    def run(self) -> None:
        """Work until the study is finished; what is held when it ends early is let go of."""
        keeper = Keeper(self.search, self.name, str(self.device), version("lrsearch"))
        database = self.search.database
        database.run(
            lambda connection: fleet.register(
                connection,
                self.search.study_id,
                self.name,
                device=keeper.device,
                version=keeper.version,
            )
        )
        # It answers: from now on, trouble with it is waited for.
        database.patience = Patience(seconds=WINDOW_SECONDS, give_up=lambda: self.stop.asked)
        try:
            with keeper:
                desk = Desk(
                    search=self.search,
                    cache=self.cache,
                    keeper=keeper,
                    shelf=Shelf.of(self.search),
                    stop=lambda: self.stop.asked,
                )
                self._loop(desk)
        except StorageError as error:
            # Asked to leave in an outage it goes in order, as at any other time.
            if not (self.stop.asked and passes(error)):
                raise
        finally:
            database.patience = Patience(seconds=0)
            self._leave()

    def _leave(self) -> None:
        """Let go of everything; a database that does not answer lets the lease run out instead."""
        try:
            with self.search.database.begin() as connection:
                leases.release(connection, self.search.study_id, [self.name])
                fleet.ended(connection, self.search.study_id, self.name)
        except Exception as error:
            if not passes(error):
                raise
            reason = complaint(error)
            log.warning(
                "the database does not answer; this worker's lease will run out: %s", reason
            )

    def _loop(self, desk: Desk) -> None:
        reap(self.search)
        sweep(self.search, desk.shelf.store)
        if self.stop.asked or is_finished(self.search):
            return
        choice = fusing.choose(
            self.search, self.cache, self.device, self.fuse, fellows=self.fellows
        )
        crew = Crew(desk, choice)
        while not self.stop.asked:
            desk.keeper.check()
            if self._work(desk, crew):
                continue
            if is_finished(self.search):
                return
            if _dead(self.search):  # what only expires is looked after by the clock
                reap(self.search)
            time.sleep(IDLE_SECONDS)

    def _work(self, desk: Desk, crew: Crew) -> bool:
        """Train a range test, trials or confirmation runs, or plan some; False if there is none."""
        test = self.search.claim_range_test(self.name)
        if test is not None:
            range_work.train(desk, test)
            return True
        if crew.train(next_trial) or crew.train(next_run):
            return True
        return confirm.advance(self.search, has_test=self._has_test)

    @cached_property
    def _has_test(self) -> bool:
        """Whether the task has a test set, whatever its params."""
        params = self.search.spec.space.params
        try:
            task = self.cache.task({key: first_value(domain) for key, domain in params.items()})
        except TaskError:  # trials that were given these params have said so
            return False
        return task.test is not None
