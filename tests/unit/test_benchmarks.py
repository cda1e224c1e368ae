"""The benchmarks run, and print what benchmarks/README.md says; their figures are not judged."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
#: The first 75 of the 2,000 recorded runs and some that diverged; how they were recorded stands in
#: benchmarks/README.md.
RUNS = Path(__file__).parents[1] / "data" / "digits_mlp_excerpt.jsonl.gz"
SPREAD = {"median", "low", "high"}


def run_script(name, *options, cwd):
    command = [sys.executable, str(SCRIPTS / name), *options]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def overhead(tmp_path_factory):
    """What a quick run printed, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("overhead")
    done = run_script("overhead.py", "--quick", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder


def test_overhead_prints_one_json_document(overhead):
    result, _ = overhead
    assert set(result) == {"processor", "torch", "optuna", "rounds", "training", "service"}
    assert result["rounds"] == {"training": 1, "service": 3}


def test_overhead_sets_a_trial_beside_hand_written_loops(overhead):
    rows = overhead[0]["training"]
    assert [row["optimizer"] for row in rows] == ["sgd", "adamw"] * 2
    assert len({row["case"] for row in rows}) == 2
    for row in rows:
        assert set(row["cpu_seconds"]) == {"lrsearch", "usual", "indexed"}
        assert all(seconds > 0 for seconds in row["cpu_seconds"].values())
        for key in ("to_usual", "to_indexed"):
            assert set(row[key]) == SPREAD
            assert row[key]["low"] <= row[key]["median"] <= row[key]["high"]


def test_overhead_sets_the_service_beside_optuna_on_both_databases(overhead):
    rows = overhead[0]["service"]
    assert [row["database"] for row in rows] == ["SQLite", "PostgreSQL"]
    for row in rows:
        assert row["trials"] == 2
        for key in ("cpu_milliseconds", "wall_milliseconds"):
            assert set(row[key]) == {"lrsearch", "optuna"}
        for key in ("to_optuna", "to_optuna_wall"):
            assert set(row[key]) == SPREAD


def test_overhead_leaves_no_files_behind(overhead):
    _, folder = overhead
    assert list(folder.iterdir()) == []


def test_samplers_prints_a_row_for_each_sampler_with_and_without_textbook_and_window(tmp_path):
    done = run_script("samplers.py", "--quick", "--json", "--data", str(RUNS), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    keys = {"optuna", "runs", "schedules", "spearman", "best", "seeds", "budgets"}
    assert set(result) == keys | {"rows", "samplers", "conditions"}
    names = ["default", "grouped", "mixture", "QMC first", "random"]
    assert [row["sampler"] for row in result["rows"]] == 4 * names
    assert len({(row["sampler"], row["textbook"], row["window"]) for row in result["rows"]}) == 20
    for row in result["rows"] + result["samplers"] + result["conditions"]:
        assert len(row["regret"]) == len(row["error"]) == len(result["budgets"])
        assert min(row["regret"]) >= 0


def test_divergence_sets_lrsearch_beside_default_optuna(tmp_path):
    done = run_script("divergence.py", "--quick", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"optuna", "seeds", "trials", "rows"}
    ways = ["Optuna, NaN", "Optuna, exception", "Optuna, +inf", "lrsearch"]
    assert [row["way"] for row in result["rows"]] == 4 * ways
    for row in result["rows"]:
        assert 0 <= row["low"] <= row["diverged"] <= row["high"] <= 1
    assert list(tmp_path.iterdir()) == []


def test_fleet_sets_lrsearch_beside_optuna_on_the_same_server(tmp_path):
    done = run_script("fleet.py", "--quick", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {
        "overhead_ms_per_trial",
        "trials_per_second",
        "epoch_decision_ms",
        "cold_start_s",
        "worker_rss_mb",
        "telemetry_ms_per_row",
    }
    for pair in result.values():
        assert set(pair) == {"lrsearch", "optuna"}
    for name in result.keys() - {"worker_rss_mb"}:
        assert min(result[name].values()) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("overhead.py", ("--rounds", "0"), "--rounds 0: at least 1 is needed"),
        (
            "overhead.py",
            ("--storage", "sqlite:///x.db"),
            "--storage sqlite:///x.db: a PostgreSQL URL is needed",
        ),
        ("fleet.py", ("--existing", "0"), "--existing 0: at least 1 is needed"),
        (
            "samplers.py",
            ("--data", "absent.gz"),
            "--data absent.gz: no such file; give the recorded digits runs",
        ),
        ("chaos.py", ("--workers", "1"), "--workers 1: at least 2 is needed"),
    ],
    ids=["rounds", "storage", "existing", "data", "workers"],
)
def test_an_option_that_cannot_be_measured_is_refused(script, options, message, tmp_path):
    done = run_script(script, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(message)


def test_range_test_prints_its_windows_beside_recorded_trials(tmp_path):
    done = run_script("range_test.py", "--quick", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    digits = [row for row in rows if row["set"] == "digits"]
    assert [row["optimizer"] for row in digits] == ["sgd", "sgd", "adamw", "adamw"]
    assert {row["rule"] for row in rows} == {"window", "min/10, valley"}
    for row in rows:
        assert len(row["windows"]) == len(row["all"]) == 1
        assert all(0 <= share <= 1 for key in ("by_loss", "by_error", "all") for share in row[key])
    assert list(tmp_path.iterdir()) == []


def test_trials_can_be_recorded_again(tmp_path):
    out = tmp_path / "trials.jsonl.gz"
    options = ("--trials", "1", "--epochs", "1", "--out", out)
    done = run_script("record_trials.py", *options, cwd=tmp_path)
    if "dataset-fashion-mnist" in done.stderr:
        pytest.skip("Fashion-MNIST is not here")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert [row["opt"] for row in rows] == ["sgd", "adamw"]
