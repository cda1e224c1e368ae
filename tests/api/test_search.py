"""`lrsearch.search`: a study file's fields, or a StudySpec, and a short result."""

import typing

import pytest
from tiny_studies import EPOCHS, TASKS, opened, tiny_spec, tiny_task

import lrsearch
from lrsearch.api.study_fields import StudyFields
from lrsearch.storage import studies

#: What makes a study of some milliseconds.
QUICK = {"epochs": EPOCHS, "space": "default", "portfolio": "none", "range_test": "none"}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def task():
    return tiny_task().make({})


def stored(url, name):
    """The definition of a study in the database."""
    with opened(url) as database, database.read() as connection:
        return studies.by_name(connection, name).definition


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Of a StudySpec, whose task is in a file."""
    url = f"sqlite:///{tmp_path_factory.mktemp('search')}/study.db"
    return lrsearch.search(tiny_spec(), storage=url, task_dir=TASKS, workers=1)


def test_a_study_spec_says_everything(result):
    assert result.name == "tiny"
    assert result.counts.started == 12
    assert result.counts.complete + result.counts.pruned + result.counts.diverged == 12
    assert result.metric == "val_loss"
    assert result.confirmed_runs > 1
    assert result.interval[0] <= result.value <= result.interval[1]
    assert isinstance(result.best, lrsearch.Recipe)


def test_its_repr_is_one_short_line(result):
    said = repr(result)
    assert said.startswith(f"Result(tiny: Best recipe: {result.best.title()}. ")
    assert " recipe of a portfolio" in said
    assert said.endswith(f"{result.counts.title()})")
    assert said.count("\n") == 0
    assert len(said) < len(result.best.title()) + 350


def test_a_task_object_is_trained_by_this_process(task, url):
    result = lrsearch.search(
        task, storage=url, name="mine", budget={"runs": 3}, confirm="none", **QUICK
    )
    assert result.name == "mine"
    assert result.counts.started >= 3
    assert stored(url, "mine")["budget"]["runs"] == 3
    assert (result.interval, result.confirmed_runs) == (None, 0)
    assert "Not confirmed: the best of 3 trials on one seed" in repr(result)


def test_fields_are_those_of_a_study_file_by_their_names_there(task, url):
    fields = {
        "budget": {"epochs": 20},
        "confirm": {"candidates": 2, "runs": 3},
        "on_code_change": "warn",
        "seed": 7,
        "tags": ["one", "two"],
        **QUICK,
    }
    lrsearch.search(task, storage=url, name="mine", **fields)
    found = stored(url, "mine")
    assert found["budget"]["epochs"] == 20
    assert found["confirm"]["candidates"] == 2
    assert found["on_code_change"] == "warn"
    assert (found["seed"], list(found["tags"])) == (7, ["one", "two"])


def test_trials_is_short_for_a_budget(task, url):
    result = lrsearch.search(task, trials=2, storage=url, confirm="none", **QUICK)
    assert result.counts.started == 2
    assert result.name.startswith("search-")
    assert stored(url, result.name)["budget"]["trials"] == 2


def test_the_same_name_goes_on(task, url):
    for trials in (1, 3):
        result = lrsearch.search(
            task, trials=trials, storage=url, name="mine", confirm="none", **QUICK
        )
        assert result.counts.started == trials


def test_type_checkers_know_every_field_of_a_study_file():
    elsewhere = {"task", "ladder"}  # an argument of its own; of the studies of `transfer` alone
    known = set(lrsearch.StudySpec.model_fields)
    assert set(typing.get_type_hints(StudyFields)) == known - elsewhere


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            {"task": tiny_spec(), "trials": 3},
            ["trials beside a StudySpec", "fields alone"],
        ),
        ({"task": tiny_spec(), "seed": 3, "epochs": 2}, ["seed, epochs beside a StudySpec"]),
        ({"trails": 3}, ["search(): trails is not a field"]),
        ({"epochs": 3, "steps": 10}, ["search()", "epochs", "steps"]),
        ({"trials": 3, "budget": "20m"}, ["search()", "budget = '20m'", "mapping"]),
        ({"trials": 0}, ["search()", "budget.trials = 0"]),
        ({"workers": 4}, ["workers = 4 beside a Task object", "'FILE.py:attribute'"]),
        ({"workers": 0}, ["workers 0", "at least 1"]),
        ({"fuse": "many"}, ["many"]),
        ({"task": "absent.py:task"}, ["absent.py"]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_call_is_told_in_one_line_before_a_database_is_made(
    arguments, parts, task, url, tmp_path
):
    arguments = {"task": task, **arguments}
    with pytest.raises(lrsearch.LrsearchError) as raised:
        lrsearch.search(storage=url, task_dir=tmp_path, **arguments)
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    assert not (tmp_path / "study.db").exists()
