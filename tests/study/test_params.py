"""Parameters of the task function are searched, reported and confirmed like the rest."""

import pytest
from sampler_params import sampler_params
from tiny_studies import TASKS, tiny_spec, worker_of

import lrsearch
from lrsearch.errors import TaskError
from lrsearch.recipe.recipe import Recipe
from lrsearch.report import files
from lrsearch.report.load import report_of
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.space.sampling_units import equivalence
from lrsearch.study.create import create_study
from lrsearch.study.optuna.encoding import encode
from lrsearch.task.find import load_task
from lrsearch.training.devices import pick_device
from lrsearch.training.task_cache import MOST_TASKS, TaskCache
from lrsearch.worker.stop_signal import Stop

PARAMS = {"batch_size": [8, 16, 64], "dropout": {"low": 0.0, "high": 0.3}}
SPACE = {
    "optimizers": {"sgd": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}},
    "schedules": ["constant"],
    "warmup": 0.0,
    "params": PARAMS,
}
TRIALS = 16


@pytest.fixture
def search(database):
    """A finished study."""
    loaded = load_task("sized.py:task", TASKS)
    spec = tiny_spec(
        task="sized.py:task", space=SPACE, budget={"trials": TRIALS}, validate_every="epoch"
    )
    search, _ = create_study(database, spec, loaded, steps_per_epoch=6, exist_ok=False)
    worker_of(search, loaded, Stop()).run()
    return search


@pytest.mark.both_databases
def test_params_are_sampled_trained_confirmed_and_exported(search):
    rows = trial_rows(search)
    assert len(rows) == TRIALS
    by_size = {row["recipe"]["params"]["batch_size"]: row for row in rows}
    assert by_size.keys() == {8, 16, 64}
    for row in rows:
        recipe = row["recipe"]
        assert recipe["batch_size"] == recipe["params"]["batch_size"]
        assert 0 <= recipe["params"]["dropout"] <= 0.3
    # A batch that memory has no room for is a result, and one that the sampler keeps away from.
    assert {row["reason"] for row in rows if row["recipe"]["batch_size"] == 64} == {"oom"}
    assert all(row["state"] != "failed" for row in rows if row["recipe"]["batch_size"] < 64)
    for trial, row in zip(search.study.trials, rows, strict=True):
        assert (max(trial.constraints.values()) > 0) == (row["state"] in ("failed", "diverged"))
    best = Recipe.from_dict(summarize(search)["best"]["recipe"])
    assert f"batch_size {best.params['batch_size']}" in best.title()
    assert report_of(search).confirmed[0].recipe["params"].keys() == PARAMS.keys()
    script = files.export_recipe(search, trial=by_size[8]["trial"], form="torch").text
    assert "BATCH_SIZE = 8\n" in script
    assert '"dropout": ' in script
    assert "(12 steps an epoch;" in " ".join(script.split())


def test_the_range_of_sgd_moves_with_the_batch_size(search):
    """Linear rule: what the sampler works with is lr at batch 64, whatever the batch."""
    for trial, row in zip(search.study.trials, trial_rows(search), strict=True):
        size, lr = row["recipe"]["batch_size"], row["recipe"]["optimizer"]["lr"]
        assert trial.params["sgd.lr"] == lr
        assert sampler_params(trial)["sgd.lr"] == pytest.approx(lr * 64 / size, rel=1e-12)
    assert equivalence(0.9, 64) == pytest.approx(1.0)
    assert equivalence(0.9, 128) == pytest.approx(0.5)
    assert equivalence(0.0, 64) == pytest.approx(0.1)


def test_a_worker_keeps_the_tasks_of_the_last_params_only():
    cache = TaskCache(load_task("sized.py:task", TASKS), pick_device("cpu"))
    tasks = [cache.task({"dropout": i / 100}) for i in range(3 * MOST_TASKS)]
    assert len(cache._tasks) == MOST_TASKS
    assert cache.task({"dropout": (len(tasks) - 1) / 100}) is tasks[-1]


def test_a_loader_whose_batch_size_is_a_param_alone_is_extended():
    """Its Task names no batch size, so the recipe's is not the one that was trained."""
    spec = tiny_spec(space=SPACE, budget={"trials": 4}, confirm="none", pruning="none")
    recipe = {
        "optimizer": {**SPACE["optimizers"]["sgd"], "name": "sgd", "lr": 0.02},
        "schedule": {"name": "constant"},
        "warmup": 0.0,
        "params": {"batch_size": 16, "dropout": 0.1},
    }
    full = spec.recipe(recipe, batch_size=64).to_dict()
    encoding = encode(spec.space, full, {})
    assert encoding.params["sgd.lr"] == 0.02
    assert encoding.units["sgd.lr"].number == pytest.approx(0.02 * 64 / 16)


def test_a_call_tries_the_task_with_some_value_of_each_param(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "needs.py").write_text("def task(width): raise RuntimeError(width)")
    with pytest.raises(TaskError, match="RuntimeError: 8"):
        lrsearch.search("needs.py:task", space={"params": {"width": [8, 16]}}, trials=2, epochs=1)
    live = load_task("tiny.py:task", TASKS).make()
    with pytest.raises(TaskError, match="is a Task, but the space has params"):
        lrsearch.search(live, space={"params": {"width": [8, 16]}}, trials=2, epochs=1)
    assert not list(tmp_path.glob("*.db"))
