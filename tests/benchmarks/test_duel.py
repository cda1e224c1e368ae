"""benchmarks/duel.py: rows can be had again, budgets hold, figures are what they say."""

import importlib
import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lrsearch.range_test.plan import ramp_plan
from lrsearch.storage import range_tests
from lrsearch.training.range_test import RangeTraining

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
LINE_TASK = """
import torch
from torch import nn
from torch.nn.functional import mse_loss
import lrsearch

X = torch.linspace(-1, 1, 48).reshape(-1, 2)
y = X.sum(1, keepdim=True) + 0.1
task = lrsearch.Task(
    model=lambda: nn.Linear(2, 1), train=(X, y), validation=(X, y), loss=mse_loss, batch_size=8,
    metrics={"error": lambda output, target: (output - target).abs().mean()},
)
"""


@pytest.fixture
def duel(monkeypatch, tmp_path):
    """Runs the benchmark in this process, on a task that takes milliseconds."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line.py").write_text(LINE_TASK)

    def run(*options):
        sizes = ("--task", "line.py:task", "--epochs", "2", "--seeds", "2", "--budget", "8")
        monkeypatch.setattr(sys, "argv", ["duel.py", *sizes, *options])
        importlib.import_module("duel").main()

    return run


def test_a_duel_that_was_cut_short_goes_on_to_the_same_rows(duel, tmp_path, capsys):
    options = ("--json", "--resume", "rows.jsonl", "--plot", "regret.png", "--against", "plain")
    duel(*options)
    whole = (tmp_path / "rows.jsonl").read_text()
    result = json.loads(capsys.readouterr().out)
    assert list(result["methods"]) == ["lrsearch", "plain", "plain, free re-runs"]
    for method, columns in result["methods"].items():
        assert list(columns) == ["2x", "4x", "8x"]
        for name, column in columns.items():
            assert len(column["values"]) == 2
            assert set(column["metrics"]) == {"error"}
            within = column["epochs"]["most"] <= 2 * int(name.removesuffix("x"))
            assert within or method == "plain, free re-runs"
    assert set(result["paired"]) == {"title", "plain", "plain, free re-runs"}
    assert result["paired"]["title"] == "lrsearch at 4x less the others at 8x"
    assert (tmp_path / "regret.png").read_bytes().startswith(b"\x89PNG")

    lines = whole.splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(lines[:-3]))
    duel(*options)
    assert json.loads(capsys.readouterr().out) == result
    assert (tmp_path / "rows.jsonl").read_text() == whole

    with pytest.raises(SystemExit, match=r"Error: --resume rows.jsonl: line 1 is of .*'epochs': 2"):
        duel(*options, "--epochs", "3")


def test_a_disturbed_study_is_set_beside_the_same_seeds_undisturbed(duel, capsys):
    duel("--hardship", "bad-defaults", "--json", "--seeds", "1")
    result = json.loads(capsys.readouterr().out)
    calm, hurt = (result["studies"][name]["mean"] for name in ("lrsearch", "bad-defaults"))
    assert result["loss"]["mean"] == pytest.approx((hurt - calm) / calm)
    assert calm != hurt


def test_windows_are_recorded_one_and_a_half_decades_off(duel):
    with pytest.raises(SystemExit, match="Error: --hardship wrong-range-test: at 16 epochs"):
        duel("--hardship", "wrong-range-test")
    training, hardships, methods = map(
        importlib.import_module, ("duel_training", "duel_hardship", "duel_methods")
    )
    problem = training.Problem(reference="line.py:task", epochs=2)
    spec = methods.default_spec(problem, 0, 5000)
    found = {}

    def look(search):
        hardships._record_wrong(problem, search, 10**1.5)
        with search.database.read() as connection:
            found.update({r.optimizer: r for r in range_tests.everything(connection, 1)})
        raise StopIteration

    with pytest.raises(StopIteration):
        methods.run_study(problem, spec, look)
    for name, row in found.items():
        right = RangeTraining(spec, ramp_plan(spec, name), problem.cache, lambda: False)
        window = right.run(row.seeds).window
        assert row.result["window"] == pytest.approx([lr * 10**1.5 for lr in window])
        assert row.epochs == pytest.approx(right.epochs)


def test_a_contender_that_is_not_installed_is_left_out(duel, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name != "lrsearch" else 1)
    argv = ["duel.py", "--task", "t.py:task", "--epochs", "2", "--against", "plain,ray,syne"]
    monkeypatch.setattr(sys, "argv", argv)
    assert importlib.import_module("duel").parse_options().against == ["plain"]
    said = capsys.readouterr().err
    assert "ray is left out: pip install ray[tune]" in said
    assert "syne is left out: pip install syne-tune" in said


def test_pairs_and_errors_are_those_of_the_seeds(duel):
    summary = importlib.import_module("duel_summary")
    pair = summary.paired([1.0, 2.0, 3.0, 3.0], [2.0, 2.5, 3.0, 4.5])
    assert pair["mean"] == -0.75
    assert pair["se"] == pytest.approx(math.sqrt(5 / 12) / 2)
    assert pair["relative"] == pytest.approx(-0.25)
    assert pair["better"] == 3
    assert pair["p_t"] == pytest.approx(0.1027, abs=1e-4)  # t = -2.324 with 3 degrees of freedom
    assert math.isnan(summary.paired([1.0, 1.0], [1.0, 1.0])["p_t"])


def test_the_plain_user_recommends_what_its_budget_could_know(duel):
    methods, training = map(importlib.import_module, ("duel_methods", "duel_training"))
    problem = training.Problem(reference="line.py:task", epochs=2)
    trial = methods.Trial(recipe={"n": 0}, value=3.0, complete=True, epochs=2.0)
    trials = [
        trial,
        replace(trial, recipe={"n": 1}, value=1.0, complete=False, epochs=3.0),
        replace(trial, recipe={"n": 2}, value=2.0, epochs=5.0),
    ]
    found = {f.budget: f for f in methods.by_own_number("plain", problem, trials, [1, 2, 3])}
    assert [found[b].recipe["n"] for b in (1, 2, 3)] == [0, 0, 2]  # a stopped trial is no answer
    assert [found[b].epochs["search"] for b in (1, 2, 3)] == [2, 3, 5]
