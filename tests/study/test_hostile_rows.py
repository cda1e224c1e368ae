"""Rows that somebody who may write to the database has put there: nothing of them is run, and no
worker ends by them."""

import json
import logging
import pickle
import sys

import pytest
from sqlalchemy import text
from tiny_studies import TASKS, ask, curve_row, ended, make_study, tiny_spec, tiny_task, work

from lrsearch.errors import SpecError, StudyError, TaskError
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.report.workers import worker_rows
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import confirmations, studies, worker_identity, workers
from lrsearch.storage.column_types import MOST_WORDS
from lrsearch.study import confirmation
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.status import reap
from lrsearch.study.versions import check_versions
from lrsearch.task.code import task_code
from lrsearch.task.find import find_task

GOOD = {
    "optimizer": {"name": "sgd", "lr": 0.1},
    "schedule": {"name": "constant"},
    "warmup": 0.0,
    "params": {},
}


def optimizer(name, **fields):
    return {**GOOD, "optimizer": {"name": name, "lr": 0.1, **fields}}


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module in the current folder that says when it was imported, or its function called."""
    file = tmp_path / "trap_module.py"
    file.write_text(
        "from pathlib import Path\n"
        "import torch\n"
        "SPRUNG = Path(__file__).with_name('sprung')\n"
        "SPRUNG.touch()\n"
        "class Optimizer(torch.optim.SGD):\n"
        "    pass\n"
        "def task(**words):\n"
        "    SPRUNG.touch()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield file
    assert not (tmp_path / "sprung").exists()
    assert "trap_module" not in sys.modules


#: Texts that a parser of JSON may stumble over, the database's or ours.
BAD_TEXTS = {
    "words": json.dumps("os.system('touch sprung')"),
    "a list": "[1, 2]",
    "nothing in it": "{}",
    "too deep": f'{{"optimizer": {nested(5000)}}}',
    "nearly too deep": f'{{"optimizer": {nested(400)}}}',
    "too long": json.dumps({**GOOD, "notes": "x" * 20_000_000}),
    "a long name": json.dumps(optimizer("x" * 1_000_000)),
    "NUL": json.dumps({**GOOD, "a\0b": 1, "\ud800": 2}),
    "a number without end": '{"optimizer": {"name": "sgd", "lr": 1e999}}',
}
BAD_RECIPES = {
    "a system call": json.dumps(optimizer("os.system")),
    "a class of processes": json.dumps(optimizer("subprocess.Popen", args="touch sprung")),
    "a script of the folder": json.dumps(optimizer("trap_module.Optimizer")),
    "a class of a file": json.dumps(optimizer("trap_module.py:Optimizer")),
    "a schedule of a file": json.dumps({**GOOD, "schedule": {"name": "trap_module.py:task"}}),
    "an installed class": json.dumps(optimizer("schedulefree.AdamWScheduleFree")),
    "a dunder": json.dumps(optimizer("torch.optim.SGD.__reduce__")),
    "another key": json.dumps(optimizer("sgd", __reduce__="os.system")),
    "a list as a name": json.dumps(optimizer(["sgd"])),
    "no optimizer": json.dumps({"schedule": {"name": "cosine"}}),
    "too many steps": json.dumps({**GOOD, "steps": 3_000_000_000}),
    "too many epochs": json.dumps({**GOOD, "epochs": 10**9}),
    "params of its own": json.dumps({**GOOD, "params": {"path": "/etc/passwd"}}),
}


def execute(search, statement, **values):
    with search.database.begin() as connection:
        connection.execute(text(statement), values)


def enqueue(search, recipe):
    statement = "INSERT INTO lr_queue (study_id, kind, recipe) VALUES (:study, 'enqueued', :recipe)"
    if not search.database.is_sqlite:
        statement = statement.replace(":recipe", "CAST(:recipe AS json)")
    execute(search, statement, study=search.study_id, recipe=recipe)


def assert_only_the_first_failed(search):
    rows = trial_rows(search)
    assert rows[0]["state"] == "failed"
    assert {row["state"] for row in rows[1:]} <= {"complete", "pruned", "diverged"}
    reason = rows[0]["reason"]
    assert reason
    assert reason.isprintable()
    assert len(reason) <= MOST_WORDS


@pytest.mark.both_databases
@pytest.mark.parametrize("recipe", BAD_TEXTS.values(), ids=list(BAD_TEXTS))
def test_a_hostile_text_in_the_queue_is_a_failed_trial(database, trap, recipe):
    search = make_study(database, budget={"trials": 2}, confirm="none")
    enqueue(search, recipe)
    work(search)
    assert_only_the_first_failed(search)


@pytest.mark.parametrize("recipe", BAD_RECIPES.values(), ids=list(BAD_RECIPES))
def test_a_hostile_recipe_in_the_queue_is_a_failed_trial(database, trap, recipe):
    search = make_study(database, budget={"trials": 2}, confirm="none")
    enqueue(search, recipe)
    work(search)
    assert_only_the_first_failed(search)


@pytest.mark.parametrize("kind", ["a script of the folder", "too deep", "words", "too many epochs"])
@pytest.mark.both_databases
def test_a_hostile_recipe_that_is_taken_over_is_a_failed_trial(database, trap, kind):
    search = make_study(database, budget={"trials": 2}, confirm="none")
    assert search.ask("host:1:1", lambda params: 16) is not None
    cast = ":recipe" if database.is_sqlite else "CAST(:recipe AS json)"
    recipe = {**BAD_RECIPES, **BAD_TEXTS}[kind]
    execute(search, f"UPDATE lr_trial SET worker = NULL, recipe = {cast}", recipe=recipe)
    work(search)
    assert_only_the_first_failed(search)


@pytest.mark.parametrize("recipe", ["{broken", '{"optimizer": {"name": "sgd", "lr": NaN}}'])
def test_an_sqlite_file_may_hold_what_is_no_json(tmp_path, database, recipe):
    search = make_study(database, budget={"trials": 2}, confirm="none")
    if not database.is_sqlite:
        pytest.skip("the server refuses it")
    enqueue(search, recipe)
    work(search)
    assert_only_the_first_failed(search)


class Bomb:
    def __reduce__(self):
        import os

        return os.system, ("touch sprung",)


@pytest.mark.both_databases
def test_pickles_in_attributes_are_never_read(database, trap):
    search = make_study(database, budget={"trials": 4}, confirm="none")
    assert search.ask("host:1:1", lambda params: 16) is not None
    value = json.dumps(pickle.dumps(Bomb()).hex())
    for key in ("cma:optimizer:0", "constraints", "lrsearch:violation"):
        execute(
            search,
            "INSERT INTO trial_system_attributes (trial_id, key, value_json) "
            "SELECT trial_id, :key, :value FROM lr_trial WHERE ticket = 1",
            key=key,
            value=value,
        )
    execute(search, "UPDATE lr_trial SET worker = NULL")
    work(search)
    assert {row["state"] for row in trial_rows(search)} <= {"complete", "pruned", "diverged"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial_params SET distribution_json = 'os.system'",
        'UPDATE trial_params SET distribution_json = \'{"name": "Evil", "attributes": {}}\'',
        "UPDATE trial_params SET param_value = 1e300",
        "UPDATE trial_system_attributes SET value_json = '{'",
    ],
)
@pytest.mark.both_databases
def test_samplers_pass_over_what_optuna_never_wrote(database, statement):
    search = make_study(database, budget={"trials": 14}, confirm="none", pruning="none")
    for _ in range(12):
        work_one(search)
    execute(search, statement)
    work(OpenStudy.open(database, "tiny"))
    assert len(trial_rows(search)) == 14


def work_one(search):
    assignment = ask(search)
    search.tell(assignment, ended("complete"), [curve_row(1)])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lr_confirm SET number = number + 99",
        "UPDATE lr_confirm SET seed = -seed",
        "UPDATE lr_trial SET recipe = '[1]' WHERE number = (SELECT number FROM lr_confirm LIMIT 1)",
    ],
)
@pytest.mark.both_databases
def test_hostile_confirmation_runs_end(database, statement):
    search = make_study(database, budget={"trials": 12}, pruning="none")
    for _ in range(12):
        work_one(search)
    assert confirmation.advance(search)
    execute(search, statement)
    work(search)
    with database.read() as connection:
        runs = confirmations.everything(connection, search.study_id)
    assert {run.state for run in runs} <= {"complete", "diverged", "failed"}


def test_a_winner_without_a_recipe_is_told_in_one_line(database):
    """As older versions left it where a failover had lost the recipe of a trial in training."""
    search = make_study(database)
    work(search)
    execute(search, "UPDATE lr_trial SET recipe = NULL")
    with pytest.raises(SpecError, match="optimizer is missing"):
        summarize(search)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "os.system"),
        ("optimizer", "trap_module.Optimizer"),
        ("result", '"os.system"'),
        ("result", '{"window": ["a", []], "optimizer": {"name": ["sgd"]}, "batch_size": {}}'),
        ("result", '{"window": [1e-3, 1], "optimizer": {"name": "os.system"}}'),
    ],
)
@pytest.mark.both_databases
def test_hostile_range_tests_are_passed_over(database, trap, field, value):
    search = make_study(database, budget={"trials": 2}, confirm="none", range_test="auto")
    cast = "CAST(:value AS json)" if field == "result" and not database.is_sqlite else ":value"
    ended = ", state = 'complete'" if field == "result" else ""
    execute(
        search,
        "INSERT INTO lr_range_test (study_id, optimizer, seeds, epochs_reserved, state, attempt, "
        "epochs, seconds) VALUES (:study, 'sgd', 1, 0, 'waiting', 0, 0, 0)",
        study=search.study_id,
    )
    execute(search, f"UPDATE lr_range_test SET {field} = {cast}{ended}", value=value)
    work(search)
    assert len(trial_rows(search)) == 2


# Definitions


def change_definition(search, **changes):
    with search.database.begin() as connection:
        row = studies.by_id(connection, search.study_id)
        definition = {**row.definition, **changes}
        studies.change(connection, search.study_id, definition=definition)


def space_of(name, domain=None):
    space = tiny_spec().to_dict()["space"]
    lr = domain or {"value": 0.1}
    return {"space": {**space, "optimizers": {name: {"lr": lr}}}}


BAD_DEFINITIONS = {
    "an unknown field": ({"pruning_v2": 1}, "pruning_v2 is not a field.*newer lrsearch made it"),
    "a system call": ({"baseline": optimizer("os.system")}, "os is a module of Python"),
    "a script": ({"baseline": optimizer("trap_module.Optimizer")}, "trap_module is no module of"),
    "a mapped script": (
        {"warm_start": [{"optuna": "theirs", "map": {"lr": "trap_module.Optimizer.lr"}}]},
        "trap_module is no module of",
    ),
    "a program": ({"baseline": optimizer("pip.__main__.Optimizer")}, "pip.__main__ is no module"),
    "no space": ({"space": "default"}, "is not that of a study"),
    "no range": (space_of("sgd", {"low": "x", "high": []}), "sgd.lr is no range"),
    "no schedule": (
        {"space": {**tiny_spec().to_dict()["space"], "schedules": {"evil": {}}}},
        "'evil' is not a schedule",
    ),
    "too many steps": ({"epochs": None, "steps": 3_000_000_000}, "steps = 3000000000"),
    "two budgets": ({"budget": []}, "budget"),
}


@pytest.mark.parametrize(("changes", "words"), BAD_DEFINITIONS.values(), ids=list(BAD_DEFINITIONS))
@pytest.mark.both_databases
def test_a_hostile_definition_is_refused_in_one_line(database, trap, changes, words):
    change_definition(make_study(database), **changes)
    with pytest.raises(SpecError, match=words) as refused:
        OpenStudy.open(database, "tiny")
    assert "\n" not in str(refused.value)


@pytest.mark.both_databases
def test_a_definition_that_is_no_json_is_refused(database):
    search = make_study(database)
    execute(search, f"UPDATE lr_study SET definition = '{nested(5000)}'")
    with pytest.raises(SpecError, match="stored definition"):
        OpenStudy.open(database, "tiny")


def test_a_class_that_only_a_definition_names_is_not_imported_from_a_folder(trap):
    definition = {**tiny_spec().to_dict(), **space_of("trap_module.Optimizer")}
    spec = StudySpec.from_stored(definition)
    with pytest.raises(SpecError, match="no module of an installed package"):
        spec.recipe(optimizer("trap_module.Optimizer"), batch_size=None)


def test_a_trial_of_more_validations_than_a_curve_holds_fails(database):
    search = make_study(database, budget={"trials": 1}, confirm="none")
    change_definition(search, epochs=None, steps=2_000_000_000, validate_every={"steps": 1})
    search = OpenStudy.open(database, "tiny")
    work(search)
    assert "validations" in trial_rows(search)[0]["reason"]


# Tasks


BAD_TASKS = [
    "/etc/passwd:x",
    "/etc/passwd.py:x",
    "../tasks/tiny.py:task",
    "os:system",
    "os.path:join",
    "subprocess:run",
    "lrsearch.worker.worker_process:work",
    "pandas:read_pickle",
    "torch:load",
    "numpy:load",
    "trap_module:task",
    "tiny.py:make_tensors.__globals__",
    "tiny.py:Path",
    "no colon",
    "x" * 100_000 + ":y",
    "a\0b.py:task",
    ":",
]


@pytest.mark.parametrize("reference", BAD_TASKS, ids=range(len(BAD_TASKS)))
def test_a_foreign_task_is_not_run(trap, reference):
    """Even where whoever wrote it turned the check of the code's hash off."""
    with pytest.raises(TaskError) as refused:
        find_task(reference, {}, [TASKS], strict=False)
    assert "\n" not in str(refused.value)


def test_the_code_of_a_foreign_task_may_well_be_known(trap):
    code = task_code(trap, trap.parent)
    with pytest.raises(TaskError, match="does not use lrsearch"):
        find_task("trap_module:task", code, [], strict=True)


def test_a_task_of_the_users_own_is_found(tmp_path):
    loaded = tiny_task()
    assert find_task("tiny.py:task", loaded.code, [TASKS], strict=True).code == loaded.code
    (tmp_path / "partly.py").write_text(
        "from functools import partial\nimport tiny\ntask = partial(tiny.task)\n"
    )
    (tmp_path / "tiny.py").write_text((TASKS / "tiny.py").read_text())
    assert find_task("partly.py:task", {}, [tmp_path], strict=False).make() is not None


def test_code_that_is_no_mapping_is_refused():
    with pytest.raises(TaskError, match="does not say which code"):
        find_task("tiny.py:task", "all", [TASKS], strict=True)


# Versions


@pytest.mark.parametrize("here", ["0.1.0", "0.1.3", "0.1"])
def test_workers_a_patch_apart_work_together(here):
    check_versions("tiny", {"lrsearch": "0.1.1"}, here)


@pytest.mark.parametrize(
    ("made_by", "words"),
    [
        ({"lrsearch": "0.2.0"}, "made by lrsearch 0.2.0, this is 0.1.3: update lrsearch on this"),
        ({"lrsearch": "1.1.0"}, "update lrsearch"),
        ({"lrsearch": "0.0.9"}, "install lrsearch 0.0 here"),
        ({"lrsearch": "x" * 10_000}, "does not say"),
        ({"lrsearch": None}, "does not say"),
        ({}, "does not say"),
        ("all", "does not say"),
    ],
)
def test_a_study_of_another_version_is_refused(made_by, words):
    with pytest.raises(StudyError, match=words) as refused:
        check_versions("tiny", made_by, "0.1.3")
    assert "\n" not in str(refused.value)


def test_another_torch_is_said_once(caplog):
    check_versions("tiny", {"lrsearch": "0.1.0", "torch": "1.0"}, "0.1.0")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "torch 1.0" in caplog.text


@pytest.mark.parametrize("name", ["nobody", "a:b:c", "x:99999999999999:1", ":::", "h:0:0"])
def test_a_worker_of_a_name_that_none_has_is_nobody_that_died(database, name):
    search = make_study(database)
    ask(search)
    with database.begin() as connection:
        connection.execute(text("UPDATE lr_trial SET worker = :name"), {"name": name})
    assert not worker_identity.is_dead(name)
    assert reap(search) == []
    with database.begin() as connection:
        workers.register(connection, search.study_id, "a:1:1", device="cpu", version="0")
        connection.execute(text("UPDATE lr_worker SET name = :name"), {"name": name})
    assert len(worker_rows(search, everyone=True)) == 1
