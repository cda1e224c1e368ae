"""Optuna's tables as lrsearch reads and writes them without Optuna, on SQLite and on PostgreSQL.

If a test of this file fails after an update of Optuna, its tables have changed: adapt
lrsearch/study/optuna/private. Until then the gate is shut, and the public API is used.
"""

import math
from datetime import UTC, datetime, timedelta

import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState as OptunaState
from sqlalchemy import inspect
from tiny_studies import curve_row, ended, make_study, passes_rung

from lrsearch.study.optuna import gate
from lrsearch.study.optuna.attributes import CONSTRAINTS, RECIPE, TICKET
from lrsearch.study.optuna.private import tables
from lrsearch.study.optuna.sampler_units import Encoding, SamplerUnit
from lrsearch.study.optuna.storage import optuna_storage
from lrsearch.study.optuna.writer import OptunaEnd
from lrsearch.trial.states import TrialState

pytestmark = pytest.mark.both_databases

#: The columns that are named anywhere in lrsearch, with their types in both databases.
COLUMNS = {
    "studies": {"study_id": "INTEGER", "study_name": "VARCHAR"},
    "study_directions": {"study_id": "INTEGER", "direction": "ENUM", "objective": "INTEGER"},
    "trials": {
        "trial_id": "INTEGER",
        "number": "INTEGER",
        "study_id": "INTEGER",
        "state": "ENUM",
        "datetime_start": "DATETIME",
        "datetime_complete": "DATETIME",
    },
    "trial_values": {
        "trial_id": "INTEGER",
        "objective": "INTEGER",
        "value": "FLOAT",
        "value_type": "ENUM",
    },
    "trial_params": {
        "trial_id": "INTEGER",
        "param_name": "VARCHAR",
        "param_value": "FLOAT",
        "distribution_json": "TEXT",
    },
    "trial_intermediate_values": {
        "trial_id": "INTEGER",
        "step": "INTEGER",
        "intermediate_value": "FLOAT",
        "intermediate_value_type": "ENUM",
    },
    "trial_user_attributes": {"trial_id": "INTEGER", "key": "VARCHAR", "value_json": "TEXT"},
    "trial_system_attributes": {"trial_id": "INTEGER", "key": "VARCHAR", "value_json": "TEXT"},
}
#: What two databases and versions call the same type.
SAME = {"TIMESTAMP": "DATETIME", "DOUBLE_PRECISION": "FLOAT", "DOUBLE PRECISION": "FLOAT"}
#: The unique columns that make a write which is repeated the same as one.
UNIQUE = {
    "trial_params": {"trial_id", "param_name"},
    "trial_intermediate_values": {"trial_id", "step"},
    "trial_system_attributes": {"trial_id", "key"},
}
CHANGED = (
    f"Optuna {optuna.__version__} has changed its tables; see the head of "
    f"tests/study/test_optuna_rows.py. "
)
PARAMS = {"lr": 0.1, "depth": 3, "name": "sgd", "on": True}
DISTRIBUTIONS = {
    "lr": FloatDistribution(1e-5, 1.0, log=True),
    "depth": IntDistribution(1, 9),
    "name": CategoricalDistribution(("adamw", "sgd")),
    "on": CategoricalDistribution((True, False)),
}
RECIPES = {"optimizer": {"name": "sgd", "lr": 0.1}}
UNIT = SamplerUnit(name="1-lr", number=0.9, distribution=FloatDistribution(0.1, 1.0))
ENCODING = Encoding(params=PARAMS, distributions=DISTRIBUTIONS, units={"lr": UNIT})


def kind(column, is_sqlite):
    name = str(column["type"]).partition("(")[0]
    if is_sqlite and column["name"] in ("state", "value_type", "direction"):
        return "ENUM"  # a VARCHAR there
    if is_sqlite and column["name"] == "intermediate_value_type":
        return "ENUM"
    name = "ENUM" if type(column["type"]).__name__ == "ENUM" else name
    return SAME.get(name, name)


def test_the_columns_are_those_that_we_know(database):
    look = inspect(database.engine)
    for table, known in COLUMNS.items():
        columns = {column["name"]: column for column in look.get_columns(table)}
        missing = known.keys() - columns.keys()
        assert not missing, f"{CHANGED}{table} has no {', '.join(sorted(missing))}"
        found = {name: kind(columns[name], database.is_sqlite) for name in known}
        assert found == known, f"{CHANGED}Types in {table}"
        needed = {name for name, column in columns.items() if not column["nullable"]} - known.keys()
        own = look.get_pk_constraint(table)["constrained_columns"]
        assert needed <= {*own}, f"{CHANGED}{table} needs {needed}"
    for table, columns in UNIQUE.items():
        unique = [{*entry["column_names"]} for entry in look.get_unique_constraints(table)]
        assert columns in unique, f"{CHANGED}{table} is not unique in {columns}"


def write(connection, study_id):
    """The trials that `tell` writes through Optuna's own door, in our way; each by one ticket."""
    ids = []
    for ticket, (state, end) in enumerate(ENDS, start=1):
        writer = gate.writer(connection)
        trial_id, number = writer.start_trial(study_id, ticket)
        assert number == ticket - 1
        for _ in range(2):  # twice is the same as once
            writer.add_recipe(trial_id, RECIPES, ENCODING)
            for step, value in end["reports"].items():
                writer.report(trial_id, step, value)
        if state != OptunaState.RUNNING:
            content = {k: v for k, v in end.items() if k != "reports"}
            writer.end_trial(trial_id, OptunaEnd(state=state, **content))
        ids.append(trial_id)
    return ids


#: Optuna's state, reports, and what the end says.
ENDS = [
    (OptunaState.COMPLETE, {"reports": {1: 0.5, 3: 0.25}, "value": 0.125}),
    (OptunaState.PRUNED, {"reports": {3: 0.25, 1: 0.5}}),
    (OptunaState.PRUNED, {"reports": {}}),
    (OptunaState.PRUNED, {"reports": {2: 0.5}, "bad": 20.0, "violation": 1.5}),
    (OptunaState.PRUNED, {"reports": {}, "bad": 20.0, "violation": 2.0}),
    (OptunaState.FAIL, {"reports": {1: 0.5}}),
    (OptunaState.COMPLETE, {"reports": {}, "value": 5e-324}),
    (OptunaState.RUNNING, {"reports": {1: 1 / 3}}),
]


class Fixed(optuna.samplers.RandomSampler):
    """Draws what is wanted."""

    def sample_independent(self, study, trial, param_name, param_distribution):
        return PARAMS[param_name]


def tell(study, ticket, state, end):
    """One trial by Optuna's own methods."""
    trial = study.ask()
    trial.set_user_attr(TICKET, ticket)
    trial.set_user_attr(RECIPE, RECIPES)
    for key, value in ENCODING.attributes().items():
        study._storage.set_trial_system_attr(trial._trial_id, key, value)
    for name, distribution in DISTRIBUTIONS.items():
        assert trial._suggest(name, distribution) == PARAMS[name]
    for step, value in end["reports"].items():
        trial.report(value, step)
    if state == OptunaState.RUNNING:
        return
    violation = [end.get("violation", 0.0)]
    study._storage.set_trial_system_attr(trial._trial_id, CONSTRAINTS, violation)
    if "bad" in end:
        trial.report(end["bad"], 1 + max(end["reports"], default=0))
    study.tell(trial, end.get("value"), state=state)


def essence(trial):
    """Everything that stock Optuna reads of a trial, but for ids and times."""
    seen = dict(vars(trial))
    for name in ("_trial_id", "_datetime_start", "datetime_complete"):
        del seen[name]
    return seen


@pytest.mark.usefixtures("either_way")
def test_stock_optuna_reads_what_it_would_have_written(database):
    search = make_study(database)
    storage = optuna_storage(database)
    theirs = optuna.create_study(
        study_name="theirs",
        storage=storage,
        sampler=Fixed(),
    )
    for ticket, (state, end) in enumerate(ENDS, start=1):
        tell(theirs, ticket, state, end)
    before = datetime.now()
    with database.begin() as connection:
        write(connection, search.study_id)
    ours = optuna.load_study(study_name="tiny", storage=optuna_storage(database))
    again = optuna.load_study(study_name="theirs", storage=optuna_storage(database))
    assert ours.direction == again.direction
    for mine, other in zip(ours.trials, again.trials, strict=True):
        assert essence(mine) == essence(other), CHANGED
        assert (mine.datetime_complete is None) == (other.datetime_complete is None)
        times = [t for t in (mine.datetime_start, mine.datetime_complete) if t is not None]
        assert times == sorted(times)
        assert all(abs(t - before) < timedelta(minutes=10) for t in times)
    assert ours.best_trial.number == again.best_trial.number == 6
    for mine, other in zip(ours.trials, again.trials, strict=True):
        mine._validate()
        assert mine.constraints == other.constraints


@pytest.mark.usefixtures("either_way")
def test_optuna_goes_on_where_we_stopped(database):
    """Also a trial that Optuna creates in a study of ours is counted."""
    search = make_study(database)
    with database.begin() as connection:
        gate.writer(connection).start_trial(search.study_id, 1)
    storage = optuna_storage(database)
    made = storage.create_new_trial(search.study_id)
    assert storage.get_trial_number_from_id(made) == 1
    with database.begin() as connection:
        assert gate.writer(connection).start_trial(search.study_id, 2)[1] == 2


def test_optunas_times_are_utc_by_the_databases_clock(database, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    search = make_study(database)
    with database.begin() as connection:
        trial_id, _ = gate.writer(connection).start_trial(search.study_id, 1)
        query = tables.trials.select().where(tables.trials.c.trial_id == trial_id)
        stored = connection.execute(query).mappings().one()["datetime_start"]
    assert abs(stored - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=10)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(
    ("state", "reason", "theirs"),
    [
        (TrialState.COMPLETE, None, OptunaState.COMPLETE),
        (TrialState.PRUNED, None, OptunaState.PRUNED),
        (TrialState.DIVERGED, "not finite", OptunaState.PRUNED),
        (TrialState.FAILED, "oom", OptunaState.PRUNED),
        (TrialState.FAILED, "ValueError: no", OptunaState.FAIL),
    ],
)
def test_a_told_trial_is_valid_to_optuna(database, state, reason, theirs):
    search = make_study(database)
    assignment = search.ask("host:1:1", lambda params: 16)
    passes_rung(search, assignment, rung=0, signal=0.5, value=0.5, validation=1)
    search.tell(assignment, ended(state, reason=reason, start_loss=math.nan), [curve_row(1)])
    (trial,) = optuna.load_study(study_name="tiny", storage=optuna_storage(database)).trials
    assert trial.state == theirs
    trial._validate()
    assert trial.user_attrs == {"lrsearch:ticket": 1, "recipe": assignment.recipe.to_dict()}
