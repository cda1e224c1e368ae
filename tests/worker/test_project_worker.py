"""One worker for all studies of a project."""

import pytest
from tiny_studies import TASKS, ask, make_study

from lrsearch.errors import StudyError, TaskError
from lrsearch.storage import studies, workers
from lrsearch.study import limits
from lrsearch.study.limits import Limits, QuotaError
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.open_work import ProjectWork, has_work
from lrsearch.study.status import is_finished
from lrsearch.trial.states import StudyState
from lrsearch.worker.machine import Machine
from lrsearch.worker.project import work_on_project
from lrsearch.worker.stop_signal import Stop

FEW = {"budget": {"trials": 2}, "confirm": "none", "range_test": "none"}


@pytest.fixture
def database(sqlite_database):
    return sqlite_database


@pytest.fixture
def sqlite_database(sqlite_url):
    from tiny_studies import opened

    with opened(sqlite_url) as database:
        yield database


def work(database, project="p", *, task_dir=TASKS):
    machine = Machine(device="cpu", threads=1, fuse="off", task_dir=task_dir)
    return work_on_project(database, project, machine, Stop(), forever=False)


def first_asked(database, name):
    with database.read() as connection:
        return studies.by_name(connection, name).first_ask_at


def test_it_trains_all_studies_of_the_project_the_most_urgent_first(database):
    for name in ("p/old", "p/urgent", "q/other"):
        make_study(database, name=name, **FEW)
    limits.limit_study(OpenStudy.open(database, "p/urgent"), Limits(priority=1))
    work(database)
    assert first_asked(database, "p/urgent") < first_asked(database, "p/old")
    assert all(is_finished(OpenStudy.open(database, name)) for name in ("p/old", "p/urgent"))
    assert first_asked(database, "q/other") is None


def test_a_project_without_studies_is_refused_with_the_near_miss(database):
    make_study(database, name="vision/a", **FEW)
    with pytest.raises(StudyError, match=r"no study of project 'visoin'.*vision"):
        work(database, "visoin")


def test_a_used_quota_ends_it(database):
    make_study(database, name="p/a", **FEW)
    limits.limit_project(database, "p", 0.0)
    with pytest.raises(QuotaError):
        work(database)
    assert first_asked(database, "p/a") is None


def test_a_study_whose_code_is_not_here_ends_it(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_study(database, name="p/a", **FEW)
    with pytest.raises(TaskError, match=r"tiny\.py"):
        work(database, task_dir=tmp_path)


def next_name(database, among=lambda row: True):
    found = ProjectWork(database, "p").next_study(among)
    return found and found.name


def test_the_next_study_has_work_and_a_free_place(database):
    first, second = (make_study(database, name=name, **FEW) for name in ("p/1", "p/2"))
    assert next_name(database) == "p/1"
    assert next_name(database, lambda row: row.study_id != first.study_id) == "p/2"
    limits.limit_study(first, Limits(max_workers=1))
    with database.begin() as connection:
        workers.register(connection, first.study_id, "a:1:1", device="cpu", version="0")
    assert next_name(database) == "p/2"
    with database.begin() as connection:
        studies.set_state(connection, second.study_id, StudyState.PAUSED)
    assert next_name(database) is None
    assert not ProjectWork(database, "p").is_over()


def test_a_study_whose_last_trials_others_train_has_no_work_until_one_is_let_go(database):
    search = make_study(database, name="p/1", **FEW)
    held = [ask(search), ask(search)]
    assert not database.look(lambda connection: has_work(connection, search))
    search.reap(dead=[held[0].claim.worker])
    assert database.look(lambda connection: has_work(connection, search))
