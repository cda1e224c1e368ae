"""The gate to Optuna's private parts: open where they are as they are known, else shut."""

import logging
import sys
from types import ModuleType

import optuna
import pytest
from optuna.samplers import TPESampler
from tiny_studies import ask, curve_row, ended, make_study, opened

from lrsearch.study.optuna import gate
from lrsearch.study.optuna.private import quick_tpe, tables
from lrsearch.study.prepare_database import prepare
from lrsearch.trial.states import TrialState


@pytest.fixture(autouse=True)
def _looked_at_anew():
    gate._known_parts.cache_clear()
    yield
    gate._known_parts.cache_clear()


def test_it_is_open_with_this_optuna():
    assert gate.is_open(), (
        f"Optuna {optuna.__version__} has changed its private parts: adapt study/optuna/private"
    )


def test_the_environment_shuts_it(monkeypatch):
    monkeypatch.setenv("LRSEARCH_OPTUNA", "public")
    assert not gate.is_open()


def gone(monkeypatch, module, name):
    """Import the private parts anew, from an Optuna without this name."""
    package, _, leaf = module.rpartition(".")
    found = vars(sys.modules[module])
    without = ModuleType(module)
    vars(without).update({key: value for key, value in found.items() if key != name})
    monkeypatch.setitem(sys.modules, module, without)
    monkeypatch.setattr(sys.modules[package], leaf, without)
    for loaded in [*sys.modules]:
        if loaded.startswith("lrsearch.study.optuna.private"):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.delattr("lrsearch.study.optuna.private")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("optuna.samplers._tpe.parzen_estimator", "_ParzenEstimator"),
        ("optuna.samplers._tpe.sampler", "default_gamma"),
        ("optuna.storages._rdb.models", "TrialParamModel"),
    ],
)
def test_a_name_that_is_gone_shuts_it_and_a_study_is_worked_on(
    monkeypatch, tmp_path, caplog, module, name
):
    gone(monkeypatch, module, name)
    with caplog.at_level(logging.WARNING, "lrsearch"):
        assert not gate.is_open()
    assert "does not know this version of Optuna" in caplog.text
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        search = make_study(database)
        for _ in range(12):
            assert search.tell(ask(search), ended(TrialState.COMPLETE), [curve_row(1)])
        assert [trial.value for trial in search.all_trials()] == [2.0] * 12


@pytest.mark.parametrize(
    "name", ["_build_parzen_estimator", "_compute_acquisition_func", "_get_internal_repr"]
)
def test_a_sampler_that_works_in_another_way_shuts_it(monkeypatch, name):
    monkeypatch.delattr(TPESampler, name)
    assert not gate.is_open()


def test_other_draws_shut_it(monkeypatch):
    monkeypatch.setattr(quick_tpe, "default_gamma", lambda count: 6)
    assert not gate.is_open()


@pytest.mark.parametrize("table", list(tables.KNOWN), ids=lambda table: table.name)
def test_a_column_that_is_not_known_shuts_it(monkeypatch, table):
    monkeypatch.setitem(tables.KNOWN, table, f"{tables.KNOWN[table]} more")
    assert not gate.is_open()
