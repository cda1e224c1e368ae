"""A worker of a planned search is killed where a trial of its has come to a rung: whoever takes the
trial over brings it there again, and it is judged as if nothing had happened."""

import os
import signal

import pytest
from processes import finish, in_process
from side_by_side import calm_task
from sites import what_came_out
from sqlalchemy import event
from tiny_studies import make_study, opened, worker_of

from lrsearch.report.summary import trial_rows
from lrsearch.storage import rungs
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import prepare
from lrsearch.study.repair import repair
from lrsearch.study.status import reap
from lrsearch.worker.training_loop.leased_job import LeasedJob

pytestmark = pytest.mark.both_databases


def sgd(number):
    optimizer = {"name": "sgd", "lr": 0.003 * 1.2**number, "momentum": 0.9, "nesterov": False}
    return {"optimizer": optimizer, "schedule": {"name": "cosine"}}


#: Of 40 epochs: 24 trials come to the first rung, 12 to the second, 6 to the end.
PLANNED = {
    "pruning": {"rungs": [0.15, 0.4], "rule": "planned"},
    "budget": {"runs": 10},
    "confirm": "none",
    "enqueue": [sgd(number) for number in range(24)],
}
#: Where a worker is killed: in a call, or after a statement that has this.
MOMENTS = {
    "checkpoint written": (OpenStudy, "pass_rungs"),
    "mark left": "lr_rung_count",
    "checkpoint recorded": "INSERT INTO lr_checkpoint",
    "trial waits": "moves=",
    "all committed": (LeasedJob, "told"),
}


def die_at(engine, moment, nth):
    """Be killed when it has come to this moment so often."""
    left = [nth]

    def count_down():
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def look(connection, cursor, statement, *others):
        if not statement.startswith("SELECT") and MOMENTS[moment] in statement:
            count_down()

    def watch(call):
        def watched(*given):
            count_down()
            return call(*given)

        return watched

    if isinstance(MOMENTS[moment], str):
        event.listen(engine, "after_cursor_execute", look)
    else:
        where, name = MOMENTS[moment]
        setattr(where, name, watch(getattr(where, name)))


def train(search, fuse):
    worker_of(search, calm_task(), fuse=fuse).run()


def train_and_die(url, moment, nth, fuse):
    with opened(url) as database:
        die_at(database.engine, moment, nth)
        train(OpenStudy.open(database, "tiny"), fuse)


def judged(search):
    """What became of each trial, and at which rungs it was judged."""
    with search.database.read() as connection:
        marks = rungs.of_study(connection, search.study_id)
    states = [(row["trial"], row["state"]) for row in trial_rows(search)]
    return states, [(mark.trial - marks[0].trial, mark.rung) for mark in marks]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a worker that is not killed makes of the study, one trial at a time."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with opened(f"sqlite:///{folder}/study.db") as database:
        prepare(database)
        search = make_study(database, **PLANNED, checkpoints=str(folder / "kept"))
        train(search, "off")
        return {"judged": judged(search), "came out": what_came_out(search)}


@pytest.mark.parametrize(
    ("moment", "nth", "fuse"),
    [
        *((moment, 2, "off") for moment in MOMENTS),
        ("checkpoint written", 15, "off"),
        ("checkpoint written", 2, 3),
        ("checkpoint recorded", 5, 3),
    ],
)
def test_a_trial_whose_worker_dies_at_its_rung_is_judged_there(
    database, prepared_url, tmp_path, undisturbed, moment, nth, fuse
):
    search = make_study(database, **PLANNED, checkpoints=str(tmp_path / "kept"))
    assert finish(in_process(train_and_die, prepared_url, moment, nth, fuse)) == [-signal.SIGKILL]
    reap(search)
    train(search, fuse)
    states, marks = judged(search)
    assert len(marks) == 24 + 12
    assert (states, marks) == undisturbed["judged"]
    if fuse == "off":
        assert what_came_out(search) == undisturbed["came out"]
    assert repair(search).wrong == repair(search).done == []
    assert not list((tmp_path / "kept").rglob("*.pt"))
