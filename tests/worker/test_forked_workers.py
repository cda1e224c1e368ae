"""Workers that are forked: the same rows as those of new interpreters, and the same ends.

One server serves all of it: its imports are 5 s of processor time.
"""

import os
import signal

import pytest
from processes import PATIENCE_SECONDS, until
from sqlalchemy import select
from tiny_studies import TASKS, make_study, tiny_spec

from lrsearch.child_process.fork_server import Forked
from lrsearch.storage.tables import leases, trials, workers
from lrsearch.study.status import is_finished
from lrsearch.worker.forks import WorkerForks
from lrsearch.worker.local_workers import LocalWorkers


def rows(search, query):
    with search.database.read() as connection:
        return connection.execute(query).all()


@pytest.fixture(scope="module")
def forks():
    with WorkerForks() as one:
        one.begin(tiny_spec(), TASKS)
        one.go_on()
        yield one


def test_forked_workers_finish_a_study(database, forks):
    search = make_study(database, budget={"trials": 3}, confirm="none", range_test="none")
    with LocalWorkers(search, TASKS, ["cpu", "cpu"], forks=forks) as started:
        assert all(isinstance(process, Forked) for process in started.processes)
        for process in started.processes:
            assert process.wait(PATIENCE_SECONDS) == 0
    assert is_finished(search)
    names = {name for (name,) in rows(search, select(workers.c.name))}
    assert {str(p.pid) in name for p in started.processes for name in names} == {True, False}


def test_a_fork_lets_go_of_its_trial_when_the_server_is_killed(database, forks):
    # Stands last: the server is no more.
    search = make_study(
        database, epochs=90_000, budget={"trials": 3}, confirm="none", range_test="none",
        pruning="none", validate_every="epoch",
    )  # fmt: skip
    with LocalWorkers(search, TASKS, ["cpu"], forks=forks) as started:
        (process,) = started.processes
        until(lambda: rows(search, select(trials.c.id)))
        os.kill(forks._server.pid, signal.SIGKILL)
        assert process.wait(PATIENCE_SECONDS) is not None
    assert rows(search, select(trials.c.state, trials.c.worker)) == [("running", None)]
    assert not rows(search, select(leases).where(leases.c.expires_at.is_not(None)))
