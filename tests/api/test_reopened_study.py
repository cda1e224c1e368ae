"""`lrsearch.open_study`: an earlier study as a result."""

import subprocess
import sys

import pytest
from tiny_studies import make_study, opened, search_here, tiny_task

import lrsearch
from lrsearch.study.prepare_database import prepare


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


def test_it_is_the_result_that_search_returned(url):
    made = search_here(name="tiny", storage=url)
    found = lrsearch.open_study("tiny", storage=url)
    assert repr(found) == repr(made)
    assert (found.best, found.trials, found.counts) == (made.best, made.trials, made.counts)
    assert found.curves() == made.curves()
    assert found._repr_html_() == made._repr_html_()


def test_it_is_read_without_torch_and_optuna(url):
    search_here(name="tiny", storage=url, budget={"trials": 2}, confirm="none")
    code = (
        f"import sys, lrsearch; print(lrsearch.open_study('tiny', storage={url!r}));"
        "print({'torch', 'optuna', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, loaded = done.stdout.splitlines()
    assert said.startswith("Result(tiny: ")
    assert loaded == "set()"


def test_a_study_without_a_trial_is_a_result(url):
    with opened(url) as database:
        prepare(database)
        make_study(database)
    found = lrsearch.open_study("tiny", storage=url)
    assert repr(found) == "Result(tiny: No answer yet. No trial has started yet. 0 trials)"
    assert (found.trials, found.curves()) == ((), ())
    assert found.trials_frame().empty


def test_a_study_of_a_task_object_is_confirmed_with_the_object(url):
    task = tiny_task().make({})
    search_here(storage=url, name="mine", confirm="none", budget={"trials": 20})
    with pytest.raises(lrsearch.StudyError) as raised:
        lrsearch.open_study("mine", storage=url).confirm(runs=2)
    assert str(raised.value) == (
        "confirm(): study 'mine' trains a Task object of an earlier process; give it again: "
        "open_study('mine', task=...)"
    )
    after = lrsearch.open_study("mine", storage=url, task=task).confirm(runs=2)
    assert after.confirmed_runs > 0


def test_wrong_calls_are_told_in_one_line(url, tmp_path):
    with pytest.raises(lrsearch.StorageError, match="holds no studies"):
        lrsearch.open_study("tiny", storage=url)
    assert not (tmp_path / "study.db").exists()
    with opened(url) as database:
        prepare(database)
        make_study(database)
    with pytest.raises(lrsearch.StudyError, match=r"no study 'tinny' in .*did you mean 'tiny'"):
        lrsearch.open_study("tinny", storage=url)
    with pytest.raises(
        lrsearch.SpecError,
        match=r"open_study\(\): study 'tiny' names its task, tiny.py:task; give no task",
    ):
        lrsearch.open_study("tiny", storage=url, task=tiny_task().make({}))
