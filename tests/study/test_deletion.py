"""A study is deleted while workers ask, write and tell: it goes, and they notice."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from tiny_studies import ask, curve_row, ended, make_study, opened, tiny_task, worker_of

from lrsearch.errors import LrsearchError, StudyError
from lrsearch.storage import curves, leases, studies, workers
from lrsearch.storage.all_tables import metadata
from lrsearch.storage.outages import Patience
from lrsearch.study.deletion import DeletedStudyError
from lrsearch.study.open_study import OpenStudy
from lrsearch.trial.states import TrialState

BUSY = 6


def rows_left(database):
    """Rows of all our tables and of Optuna's studies and trials, but for those that outlive it."""
    outlives = ("lr_study_id", "lr_action", "lr_project")
    with database.read() as connection:
        counts = {
            table.name: connection.scalar(text(f"SELECT count(*) FROM {table.name}"))
            for table in metadata.sorted_tables
        }
    return {name: n for name, n in counts.items() if n and name not in outlives}


@pytest.mark.both_databases
def test_a_worker_of_a_deleted_study_gets_nothing_of_the_next(database):
    old = make_study(database, name="a")
    assignment = ask(old)
    old.delete()
    new = make_study(database, name="b")
    assert new.study_id > old.study_id
    with pytest.raises(StudyError, match="the study was deleted meanwhile"):
        ask(old)
    assert old.claim_range_test("host:1:1") is None
    other = ask(new)
    assert other.claim.id > assignment.claim.id
    with database.begin() as connection:
        assert not curves.add(connection, assignment.claim, [curve_row(1)])
        assert leases.renew(connection, [assignment.claim], 60) == {}
        leases.take_back_death(connection, assignment.claim)
    assert not old.tell(assignment, ended(TrialState.COMPLETE))
    with database.read() as connection:
        row = studies.by_id(connection, new.study_id)
    assert (row.trials_used, row.trials_ended) == (1, 0)


def test_a_worker_knows_that_a_restored_database_has_given_its_studys_number_away(database):
    search = make_study(database)
    trial = ask(search)
    with database.begin() as connection:  # as after a backup of before it was made
        studies.change(connection, search.study_id, token="another")
    with pytest.raises(StudyError, match="the study was deleted meanwhile"):
        ask(search)
    with pytest.raises(DeletedStudyError):
        worker_of(search, tiny_task()).run()
    with database.read() as connection:
        assert studies.by_id(connection, search.study_id).trials_used == trial.number + 1


@pytest.mark.both_databases
def test_numbers_of_deleted_studies_are_used_up(database):
    numbers = []
    for name in ("a", "b", "c"):
        study = make_study(database, name=name)
        numbers.append(study.study_id)
        if name != "a":
            study.delete()
    assert numbers == sorted(set(numbers))
    assert rows_left(database)["lr_study"] == 1


@pytest.mark.both_databases
def test_a_worker_of_a_deleted_study_ends_with_a_sentence(database):
    search = make_study(database)
    worker = worker_of(search, tiny_task())
    work = worker._work

    def deleted_after_a_trial(context, trainer):
        found = work(context, trainer)
        OpenStudy.open(database, search.name).delete()
        make_study(database)  # of the same name: it is none of this worker's
        return found

    worker._work = deleted_after_a_trial
    with pytest.raises(DeletedStudyError, match="study 'tiny' was deleted: its workers end"):
        worker.run()
    with database.read() as connection:
        new = studies.by_name(connection, search.name)
        assert new.trials_used == 0
        assert workers.everyone(connection, new.study_id) == []


def toil(url, study, stop, faults):
    """Ask, write and tell until the study is gone, as several workers at once do."""
    with opened(url) as database:
        database.patience = Patience(seconds=60)
        search = OpenStudy(database, study)
        name = f"host:{threading.get_native_id()}:1"
        try:
            while not stop.is_set():
                held = [ask(search, worker=name) for _ in range(2)]
                for assignment in held:
                    if assignment is None:
                        return
                    rows = [curve_row(1), curve_row(2)]
                    database.run(
                        lambda c, a=assignment, rows=rows: (
                            curves.add(c, a.claim, rows),
                            leases.renew(c, [a.claim], 60),
                            workers.note(c, search.study_id, name, "a line"),
                        )
                    )
                    search.tell(assignment, ended(TrialState.COMPLETE))
                search.reap()
        except LrsearchError:
            pass  # it says that the study is gone
        except Exception as error:
            faults.append(error)


@pytest.mark.both_databases
@pytest.mark.parametrize("rounds", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_studies_are_deleted_under_busy_workers(database, rounds):
    url, faults = database.location.url, []
    for number in range(rounds):
        search = make_study(database, name=f"study-{number}", budget={"trials": 10_000})
        stop = threading.Event()
        with ThreadPoolExecutor(BUSY) as pool:
            for _ in range(BUSY):
                pool.submit(toil, url, search.record, stop, faults)
            try:
                for _ in wait_for_trials(database, search, BUSY):
                    pass
                search.delete()
            finally:
                stop.set()
    assert faults == []
    assert rows_left(database) == {}


def wait_for_trials(database, search, count):
    """Until so many trials have begun."""
    while True:
        with database.read() as connection:
            if studies.by_id(connection, search.study_id).trials_used >= count:
                return
        yield
