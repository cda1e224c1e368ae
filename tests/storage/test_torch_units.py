"""A study whose parameters are stored in the sampler's units is brought up to date."""

import gzip
import json
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from sampler_params import sampler_params
from sqlalchemy import text
from test_upgrade import LR_STUDY, LR_TRIAL, at_revision
from tiny_studies import ask, opened

from lrsearch.errors import StorageError
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna.storage import optuna_storage
from lrsearch.study.prepare_database import open_database, prepare

DATA = Path(__file__).parents[1] / "data"
MOMENTUM_LR = FloatDistribution(1e-3, 10.0, log=True)
COMPLEMENT = FloatDistribution(0.02, 0.5, log=True)
SGD = {
    "params": {"optimizer": "sgd", "sgd.lr": 0.4, "sgd.1-momentum": 0.1, "warmup": 0.05},
    "recipe": {
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "schedule": {"name": "constant"},
    },
    "stored": {"optimizer": "sgd", "sgd.lr": 0.1, "sgd.momentum": 0.9, "warmup": 0.05},
}
ADAMW = {
    "params": {"optimizer": "adamw", "adamw.lr": 0.01, "adamw.1-beta1": 0.3, "warmup": 0.0},
    "recipe": {
        "optimizer": {"name": "adamw", "lr": 0.01, "betas": [0.7, 0.99]},
        "schedule": {"name": "constant"},
    },
    "stored": {"optimizer": "adamw", "adamw.lr": 0.01, "adamw.beta1": 0.7, "warmup": 0.0},
}
DISTRIBUTIONS = {
    "optimizer": CategoricalDistribution(("sgd", "adamw")),
    "sgd.lr": MOMENTUM_LR,
    "sgd.1-momentum": COMPLEMENT,
    "adamw.lr": FloatDistribution(1e-4, 0.1, log=True),
    "adamw.1-beta1": COMPLEMENT,
    "warmup": FloatDistribution(0.0, 0.05, step=0.05),
}
DEFINITION = {
    "space": {
        "optimizers": {
            "sgd": {"lr": {"unit": "momentum_equivalent"}, "momentum": {"unit": "complement"}},
            "adamw": {"lr": {"unit": "plain"}, "beta1": {"unit": "complement"}},
        }
    }
}


def old_trial(content, attributes):
    return create_trial(
        state=TrialState.COMPLETE,
        value=0.5,
        params=content["params"],
        distributions={name: DISTRIBUTIONS[name] for name in content["params"]},
        user_attrs=attributes,
        system_attrs={"constraints:diverged": 0.0},
    )


def test_parameters_are_stored_as_torch_takes_them_and_read_as_they_were_drawn(storage_url):
    with opened(storage_url) as database:
        theirs = at_revision(database, "006")
        study = optuna.create_study(study_name="old", storage=theirs)
        plain = optuna.create_study(study_name="plain", storage=theirs)
        # One of another study's, whose recipe Optuna alone has, and one of ours.
        study.add_trial(old_trial(ADAMW, {"lrsearch:recipe": ADAMW["recipe"]}))
        study.add_trial(old_trial(SGD, {"lrsearch:ticket": 1}))
        plain.add_trial(old_trial(SGD, {"lrsearch:recipe": "their own"}))
        row = {"state": "complete", "value": 0.5, "reason": None}
        ids = {"study": study._study_id, "trial": study.trials[1]._trial_id, "number": 0}
        with database.begin() as connection:
            connection.execute(text(LR_STUDY), {"study": study._study_id})
            connection.execute(text(LR_TRIAL), {**row, **ids})
            as_json = "" if database.is_sqlite else "::json"
            for table, column, value in (
                ("lr_study", "definition", DEFINITION),
                ("lr_trial", "recipe", SGD["recipe"]),
            ):
                statement = f"UPDATE {table} SET {column} = '{json.dumps(value)}'{as_json}"
                connection.exec_driver_sql(statement)
        before = [vars(trial) for trial in plain.trials]
        theirs.engine.dispose()
        assert prepare(database)
        storage = optuna_storage(database)
        found = optuna.load_study(study_name="old", storage=storage).trials
        for trial, content in zip(found, (ADAMW, SGD), strict=True):
            trial._validate()
            assert trial.params == content["stored"]
            assert trial.user_attrs["recipe"] == content["recipe"]
            assert sampler_params(trial) == content["params"]
            assert trial.constraints == {"0": 0.0}
        lr = found[1].distributions["sgd.lr"]
        assert (lr.low, lr.high, lr.log) == (pytest.approx(1e-3 / 4), pytest.approx(2.5), True)
        momentum = found[1].distributions["sgd.momentum"]
        assert (momentum.low, momentum.high, momentum.log) == (0.5, 0.98, False)
        after = optuna.load_study(study_name="plain", storage=storage).trials
        assert [vars(trial) for trial in after] == before


@pytest.fixture
def old(tmp_path):
    """The URL of a database that version 0.1 left, with a study of 14 trials."""
    path = tmp_path / "study.db"
    statements = gzip.decompress((DATA / "study_of_revision_006.sql.gz").read_bytes()).decode()
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()
    return f"sqlite:///{path}"


def test_a_study_of_before_goes_on_with_the_recipes_that_it_would_have_had(old):
    with pytest.raises(StorageError, match="run `lrsearch db upgrade`"):
        open_database(old)
    with opened(old) as database:
        assert prepare(database)
        search = OpenStudy.open(database, "tiny")
        recipes = json.loads((DATA / "study_of_revision_006_goes_on.json").read_text())
        assert [ask(search).recipe.to_dict() for _ in recipes] == recipes
        for trial in search.all_trials():
            optimizer = trial.user_attrs["recipe"]["optimizer"]
            name = optimizer["name"]
            if trial.params:
                assert trial.params[f"{name}.lr"] == optimizer["lr"]
