"""What limits the workers of a study and of a project, and who is said to have changed it."""

import pytest
from tiny_studies import ask, ended, make_study

from lrsearch.errors import SpecError, StudyError
from lrsearch.storage import actions, projects, studies, workers
from lrsearch.study import limits
from lrsearch.study.limits import Limits, QuotaError
from lrsearch.study.open_study import OpenStudy
from lrsearch.trial.states import TrialState


def register(database, search, *names):
    with database.begin() as connection:
        for name in names:
            workers.register(connection, search.study_id, name, device="cpu", version="0")


def has_place(database, search, name):
    return database.look(lambda connection: limits.has_place(connection, search, name))


def said(database, **which):
    with database.read() as connection:
        return [(row.study, row.what) for row in actions.newest(connection, limit=9, **which)]


def trained(search, seconds):
    assert search.tell(ask(search), ended(TrialState.COMPLETE, seconds=seconds))


def test_the_name_says_the_project(database):
    search = make_study(database, name="vision/digits")
    assert (search.record.project, search.spec.project) == ("vision", "vision")
    assert OpenStudy.open(database, "vision/digits").study_id == search.study_id
    assert make_study(database, name="digits").record.project == "default"
    assert make_study(database, name="other", project="text").record.project == "text"
    with pytest.raises(StudyError, match=r"no study 'vision/digit'.*vision/digits"):
        OpenStudy.open(database, "vision/digit")


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"name": "default/a"}, "a study of the default project has its name alone"),
        ({"name": "a/b", "project": "c"}, "is of project 'a'; leave project out"),
        ({"name": "a/b/c"}, "name"),
        ({"name": "a/../b"}, "name"),
        ({"name": "/b"}, "name"),
    ],
)
def test_a_name_of_no_project_is_refused(fields, line, tmp_path):
    from tiny_studies import tiny_spec

    with pytest.raises(SpecError, match=line):
        tiny_spec(**fields)


@pytest.mark.both_databases
def test_the_first_workers_have_the_places(database):
    search = make_study(database)
    register(database, search, "a:1:1", "b:1:1")
    assert has_place(database, search, "b:1:1")
    limits.limit_study(search, Limits(max_workers=1))
    assert has_place(database, search, "a:1:1")
    assert not has_place(database, search, "b:1:1")
    assert not database.look(lambda connection: limits.has_free_place(connection, search))
    with database.begin() as connection:
        workers.ended(connection, search.study_id, "a:1:1")
    assert has_place(database, search, "b:1:1")
    limits.limit_study(search, Limits(max_workers=0))
    register(database, search, "c:1:1")
    assert has_place(database, search, "c:1:1")


@pytest.mark.both_databases
def test_a_used_quota_starts_nothing_and_outlives_a_deleted_study(database):
    search = make_study(database, name="vision/a")
    limits.limit_project(database, "vision", 1.0)
    trained(search, 1800.0)
    assert has_place(database, search, "a:1:1")
    trained(search, 1800.0)
    line = "project 'vision' has used 1 of its 1 device-hours.*project limit vision --device-hours"
    with pytest.raises(QuotaError, match=line):
        has_place(database, search, "a:1:1")
    search.delete()
    other = make_study(database, name="vision/b")
    with pytest.raises(QuotaError):
        has_place(database, other, "a:1:1")
    assert has_place(database, make_study(database, name="b"), "a:1:1")
    limits.limit_project(database, "vision", None)
    assert has_place(database, other, "a:1:1")
    with database.read() as connection:
        assert projects.used_hours(connection, "vision") == 1.0


def test_every_change_is_kept_with_who_made_it(database, monkeypatch):
    monkeypatch.setenv("LRSEARCH_USER", "ada\nlovelace")
    search = make_study(database, name="vision/a")
    assert search.record.owner == "ada lovelace"
    limits.limit_study(search, Limits(priority=3))
    limits.limit_project(database, "vision", 2.0)
    make_study(database, name="b")
    search.delete()
    assert said(database, project="vision") == [
        ("vision/a", "deleted"),
        (None, "device-hours: 2"),
        ("vision/a", "limited: priority = 3"),
        ("vision/a", "created"),
    ]
    assert said(database)[1] == ("b", "created")
    with database.read() as connection:
        assert {row.who for row in actions.newest(connection, limit=9)} == {"ada lovelace"}


def test_studies_of_a_project_come_by_priority_then_age(database):
    for name in ("p/old", "p/new", "p/urgent", "q/other"):
        make_study(database, name=name)
    limits.limit_study(OpenStudy.open(database, "p/urgent"), Limits(priority=1))
    with database.read() as connection:
        found = [row.name for row in studies.of_project(connection, "p")]
    assert found == ["p/urgent", "p/old", "p/new"]
