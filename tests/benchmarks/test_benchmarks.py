"""The benchmarks run, and print what benchmarks/README.md says; their figures are not judged."""

import gzip
import importlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import command
import pytest
import torch
from compilers import interpret

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
#: The first 75 of the 2,000 recorded runs and some that diverged; how they were recorded stands in
#: benchmarks/README.md.
RUNS = Path(__file__).parents[1] / "data" / "digits_mlp_excerpt.jsonl.gz"
SPREAD = {"median", "low", "high"}


def run_script(name, *options, cwd):
    ended = command.run_script(SCRIPTS / name, *options, folder=cwd, seconds=280)
    return subprocess.CompletedProcess([name, *options], ended.code, ended.out, ended.err)


@pytest.fixture(scope="module")
def overhead(tmp_path_factory):
    """What a quick run printed, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("overhead")
    done = run_script("overhead.py", "--quick", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder


@pytest.mark.slow
def test_overhead_prints_one_json_document(overhead):
    result, _ = overhead
    assert set(result) == {"processor", "torch", "optuna", "rounds", "training", "service"}
    assert result["rounds"] == {"training": 1, "service": 3}


@pytest.mark.slow
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


@pytest.mark.slow
def test_overhead_sets_the_service_beside_optuna_on_both_databases(overhead):
    rows = overhead[0]["service"]
    assert [row["database"] for row in rows] == ["SQLite", "PostgreSQL"]
    for row in rows:
        assert row["trials"] == 2
        for key in ("cpu_milliseconds", "wall_milliseconds"):
            assert set(row[key]) == {"lrsearch", "optuna"}
        for key in ("to_optuna", "to_optuna_wall"):
            assert set(row[key]) == SPREAD


@pytest.mark.slow
def test_overhead_leaves_no_files_behind(overhead):
    _, folder = overhead
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_gpu_proves_its_program_on_a_cpu(tmp_path):
    options = ("--device", "cpu", "--epochs", "1", "--rounds", "1", "--processes", "2", "--json")
    done = run_script("gpu.py", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [row["model"] for row in result["rows"]] == ["tiny MLP", "ResNet-8"]
    for row in result["rows"]:
        assert set(row["microseconds"]) == {"usual", "best", "processes", "fused", "graphed"}
        assert all(spent > 0 for spent in row["microseconds"].values())
        assert row["difference"] < 1e-9
        assert row["reasons"] == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would measure")
def test_gpu_says_in_one_line_what_it_needs(tmp_path):
    done = run_script("gpu.py", cwd=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(
        "gpu.py needs a CUDA device and torch for CUDA: --device cuda:0: no such"
    )


def test_samplers_after_the_portfolio_chooses_a_recipe_with_each_at_each_budget(tmp_path):
    names = ["portfolio alone", "TPE", "random", "TPE, portfolio whole"]
    options = ("--quick", "--json", "--data", str(RUNS), "--samplers", ";".join(names))
    done = run_script("samplers_after_portfolio.py", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    found = [(row["budget"], row["sampler"]) for row in result["rows"]]
    assert found == [(budget, name) for budget in (5, 10) for name in names]
    for row in result["rows"]:
        assert len(row["losses"]) == result["seeds"] == 2
        assert all(math.isfinite(loss) for loss in row["losses"])


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


@pytest.mark.slow
def test_fleet_sets_lrsearch_beside_optuna_on_the_same_server(tmp_path):
    words = [sys.executable, str(SCRIPTS / "fleet.py"), "--quick", "--json"]  # it starts processes
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {
        "overhead_ms_per_trial",
        "trials_per_second",
        "epoch_decision_ms",
        "cold_start_s",
        "worker_rss_mb",
        "curve_row_ms",
    }
    for pair in result.values():
        assert set(pair) == {"lrsearch", "optuna"}
    for name in result.keys() - {"worker_rss_mb"}:
        assert min(result[name].values()) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_fleet_sweeps_over_sizes_and_what_runs_beside(tmp_path):
    words = [sys.executable, str(SCRIPTS / "fleet.py"), "--sweep", "--quick", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [(row["trials"], row["running"]) for row in result["rows"]] == [(20, 1), (20, 2)]
    for row in result["rows"]:
        assert min(row["ask"], row["rung"], row["tell"], row["statements"]) > 0
    assert min(result["clients"]["4 clients"].values()) > 0


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
        ("startup.py", ("--rounds", "0"), "--rounds 0: at least 1 is needed"),
        ("chaos.py", ("--workers", "1"), "--workers 1: at least 2 is needed"),
    ],
    ids=["rounds", "storage", "existing", "data", "startup", "workers"],
)
def test_an_option_that_cannot_be_measured_is_refused(script, options, message, tmp_path):
    done = run_script(script, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(message)


def test_range_test_prints_its_windows_beside_recorded_trials(tmp_path):
    done = run_script("range_test.py", "--quick", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows, ramps = found["windows"], found["ramps"]
    assert [(ramp["optimizer"], ramp["rule"]) for ramp in ramps] == [
        (name, rule) for name in ("sgd", "adamw", "rmsprop") for rule in ("old", "new")
    ]
    for old, new in zip(ramps[::2], ramps[1::2], strict=True):
        assert 2 * new["steps"][0] <= 1.5 * old["steps"][0]
        assert 0 < new["share"] < old["share"] < 0.05
    assert {row["set"] for row in rows} == {"digits"}
    assert [row["optimizer"] for row in rows] == ["sgd", "sgd", "adamw", "adamw"]
    assert {row["rule"] for row in rows} == {"window", "min/10, valley"}
    for row in rows:
        assert len(row["windows"]) == len(row["all"]) == 1
        assert all(0 <= share <= 1 for key in ("by_loss", "by_error", "all") for share in row[key])
    assert list(tmp_path.iterdir()) == []


def test_advice_sets_what_it_says_beside_what_came(benchmark, capsys):
    benchmark("advice", "--data", str(RUNS), "--studies", "20", "--json").main()
    rows = json.loads(capsys.readouterr().out)
    sizes = {(row["pruning"], row["trials"]) for row in rows}
    assert sizes == {(False, 16), (False, 32), (True, 16), (True, 32)}
    for row in rows:
        assert row["bootstrap"]["mean"] == 0 <= row["predicted"]["mean"]
        assert 0 < row["covered"]["mean"] <= 1


def test_confirmation_is_set_beside_what_people_do(benchmark, monkeypatch, capsys):
    benchmark("confirmation", "--studies", "6", "--json").main()
    results = json.loads(capsys.readouterr().out)
    assert set(results) == {"losses", "steps", "errors"}
    ways = [f"confirmed, R = {runs}" for runs in (2, 3, 4, 5, 6, 8, 10, 15, 30)]
    for result in results.values():
        assert set(result) == {"studies", "recipes", "seeds", "ways", "noise_tied"}
        assert list(result["ways"]) == ["best of the search", "top 3, 3 seeds each", *ways]
        for row in result["ways"].values():
            assert row["regret_percent"]["mean"] >= 0
            assert row["spent"] <= 30
        assert result["noise_tied"]["2"] is None
        assert 0 <= result["noise_tied"]["30"]["tied"]["mean"] <= 1


def test_a_pool_of_confirmation_runs_can_be_recorded(benchmark, tmp_path):
    benchmark("confirmation_pool").record(tmp_path / "pool.gz", recipes=2, seeds=2, epochs=1)
    pool = importlib.import_module("confirmation").read_pool(tmp_path / "pool.gz")
    assert pool.shape == (2, 2, 2)


def test_trials_can_be_recorded_again(tmp_path):
    out = tmp_path / "trials.jsonl.gz"
    options = ("--trials", "1", "--epochs", "1", "--out", out)
    done = run_script("record_trials.py", *options, cwd=tmp_path)
    if "dataset-fashion-mnist" in done.stderr:
        pytest.skip("Fashion-MNIST is not here")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert [row["opt"] for row in rows] == ["sgd", "adamw"]


@pytest.mark.slow
def test_curves_can_be_recorded_again(tmp_path):
    out = tmp_path / "curves.jsonl.gz"
    options = ("--trials", "1", "--epochs", "1", "--out", out)
    done = run_script("record_curves.py", *options, cwd=tmp_path)
    if "dataset-fashion-mnist" in done.stderr:
        pytest.skip("Fashion-MNIST is not here")
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    signals = ("val_loss", "val_error", "calibrated_loss", "test_error")
    assert set(row["curves"]) == {f"{name}{ema}" for name in signals for ema in ("", "_ema")}
    assert all(0 < value < 3 for (value,) in row["curves"].values())


def test_objectives_are_compared_by_the_test_error_of_what_they_choose(tmp_path):
    options = ("--json", "--sizes", "5", "20", "--resamples", "50")
    done = run_script("objectives.py", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"data", "runs", "resamples", "sizes", "rows"}
    rules = {(row["metric"], row["at"], row["weights"]) for row in result["rows"]}
    assert (len(rules), len(result["rows"])) == (12, 24)
    for row in result["rows"]:
        assert 0 < row["test_error"]["mean"] < 1
        if (row["metric"], row["at"], row["weights"]) == ("val_loss", "best", "raw"):
            assert row["difference"] == {"mean": 0.0, "se": 0.0}


@pytest.mark.slow  # it trains a study twice, and starts ten interpreters
def test_startup_sets_two_installs_side_by_side(tmp_path):
    options = ("--quick", "--json", "--against", sys.executable)
    done = run_script("startup.py", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"trials", "rows"}
    assert [row["command"] for row in result["rows"]] == ["study list", "status digits"]
    for row in result["rows"]:
        for side in ("here", "against"):
            assert set(row[side]) == {"cpu_seconds", "peak_memory"}
            assert min(row[side].values()) > 0
    assert list(tmp_path.iterdir()) == []


def test_startup_says_in_one_line_what_it_cannot_measure(tmp_path):
    done = run_script("startup.py", "--against", "absent", cwd=tmp_path)
    assert done.returncode == 1
    message = "Error: absent is no checkout, virtual environment or interpreter"
    assert done.stderr.strip() == message


@pytest.mark.slow
def test_report_says_what_a_report_costs(tmp_path):
    done = run_script("report.py", "--quick", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    [row] = result["rows"]
    assert (result["rounds"], set(row), row["trials"]) == (1, {"trials", "here"}, 3)
    assert set(row["here"]) == {"cpu_seconds", "peak_memory", "page"}
    assert row["here"]["page"] > 0.9  # it holds the script
    assert list(tmp_path.iterdir()) == []


TINY_TASK = """
import torch
from compilers import interpret
from torch import nn
from torch.nn.functional import mse_loss
import lrsearch

X = torch.linspace(-1, 1, 48).reshape(-1, 2)
task = lrsearch.Task(
    model=lambda: nn.Linear(2, 1), train=(X, X.sum(1, keepdim=True)),
    validation=(X, X.sum(1, keepdim=True)), loss=mse_loss, batch_size=8,
)
"""


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Imports a benchmark to run in this process, beside a task for it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(SCRIPTS)
    (tmp_path / "tiny.py").write_text(TINY_TASK)

    def imported(name, *options):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
        module = importlib.import_module(name)
        monkeypatch.setattr(module, "pin", lambda: None, raising=False)
        return module

    return imported


def throughput_options(tmp_path):
    sizes = ("--trials", "4", "--epochs", "1", "--rounds", "1", "--no-memory")
    return ("--task", str(tmp_path / "tiny.py:task"), *sizes)


def test_throughput_sets_the_engines_beside_plain_loops_that_do_the_same_work(
    benchmark, tmp_path, capsys
):
    benchmark("throughput", *throughput_options(tmp_path), "--json").main()
    result = json.loads(capsys.readouterr().out)
    engines = {"solo", "fused_2", "fused_4", "auto"}
    assert set(result["ratios"]) == set(result["spreads"]) == engines
    for row in result["ratios"].values():
        assert set(row) == {"vs_usual", "vs_best_solo"}
        assert all(math.isfinite(ratio) and ratio > 0 for ratio in row.values())
    timed = {"usual", "best_solo"} | engines - {"auto"}
    assert set(result["cpu_seconds"]) == set(result["wall_seconds"]) == timed
    assert result["engine"] == ("solo" if result["K"] == 1 else "fused")
    assert min(result["probe_s"], result["calibration_s"]) > 0
    assert set(result["check"]["float64"]) == timed
    assert max(result["check"]["float64"].values()) < 1e-12


def test_auto_knows_every_shipped_study_and_every_task_of_the_zoo(benchmark):
    references = benchmark("auto").references()
    assert {"digits", "diabetes", "fashion_mnist", "tiny_gpt", "unused_parameter"} < set(references)
    assert not {"classification", "residual_network"} & set(references)  # these make no task


def test_auto_sets_what_was_chosen_beside_both_loops(benchmark, tmp_path, monkeypatch, capsys):
    options = ("--epochs", "1", "--seconds", "0.01", "--rounds", "2", "--json")
    auto = benchmark("auto", *options)
    monkeypatch.setattr(auto, "references", lambda: {"tiny": str(tmp_path / "tiny.py:task")})
    auto.main()
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["task"], row["epochs"], row["rounds"]) == ("tiny", 1, 2)
    assert 2 <= row["recipes"] <= 16
    for spread in (row["usual"], row["best"]):
        assert 0 < spread["low"] <= spread["median"] <= spread["high"]


def test_one_by_one_trains_the_same_losses_both_ways(benchmark, tmp_path, capsys):
    options = ("--epochs", "1", "--trials", "2", "--rounds", "1")
    benchmark("one_by_one", "--tasks", str(tmp_path / "tiny.py:task"), *options).main()
    row = capsys.readouterr().out.splitlines()[-1]
    assert all(float(number) > 0 for number in row.split()[1:4])


def test_throughput_refuses_to_compare_other_work(benchmark, tmp_path, monkeypatch):
    throughput = benchmark("throughput", *throughput_options(tmp_path))
    rounds = importlib.import_module("throughput_rounds")
    plain = rounds.best_solo
    monkeypatch.setattr(rounds, "best_solo", lambda work: [1.001 * loss for loss in plain(work)])
    with pytest.raises(SystemExit, match="Error: best_solo does other work: in float64 it ended"):
        throughput.main()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "absent.py:task"), "task = 'absent.py:task': absent.py does not exist"),
        (("--task", "tiny.py:tusk"), "tiny.py has no attribute 'tusk'; did you mean 'task'?"),
        (("--task", "tiny.py:task", "--trials", "0"), "--trials 0: at least 1 is needed"),
        (("--task", "tiny.py:task", "--epochs", "0"), "--epochs 0: at least 1 is needed"),
    ],
    ids=["file", "attribute", "trials", "epochs"],
)
def test_throughput_says_in_one_line_what_it_cannot_train(
    options, message, benchmark, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        benchmark("throughput", *options).main()
    said = left.value.code if isinstance(left.value.code, str) else capsys.readouterr().err.strip()
    assert said == f"Error: {message}"


def test_a_cohort_drifts_no_further_than_rounding_takes_a_trial(benchmark):
    row = benchmark("cohorts").measure_drift("digits MLP", (1, 3))
    assert len(row["trials"]) == 8
    for trial in row["trials"]:
        assert max(trial["cohort"] + trial["reversed"]) < 1e-5


def test_lr_basin_prints_nominal_and_measured_coverage_of_every_shape_and_size(tmp_path):
    done = run_script("lr_basin.py", "--studies", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, _, *rows = done.stdout.splitlines()
    assert first.startswith("nominal coverage 95 %")
    assert len(rows) == 4 * 5
    for row in rows:
        shares = re.findall(r"(\d+) %", row)[:3]
        assert set(shares) <= {"0", "100"}  # of one study


def test_a_profile_tells_where_a_cohorts_time_goes(tmp_path):
    task = f"{SCRIPTS.parent / 'studies' / 'diabetes.py'}:task"
    done = run_script(
        *("step_profile.py", "--task", task, "--at-once", "2", "--epochs", "2", "--rounds", "1"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    first, _, head, *rows = done.stdout.splitlines()
    assert re.fullmatch(r"2 at once, 20 steps: [\d.]+ ms of CPU a trial", first), first
    assert head.split() == ["calls", "us/trial-step", "ms/trial"]
    calls = {row[:34].strip(): int(row[34:].split()[0]) for row in rows}
    assert calls["forward and backward passes"] == calls["batches"] == 20
    assert calls["schedulers and counters"] == 40
    assert calls["beginning a trial"] == 2
    assert all(calls.values())


def test_compiled_sets_both_ways_beside_each_other(benchmark, tmp_path, monkeypatch, capsys):
    """Of a task that is compiled, by what stands in for the compiler, and of one that is not."""
    interpret(monkeypatch)
    tasks = [str(tmp_path / "tiny.py:task"), str(SCRIPTS / "zoo.py:dropout_mlp")]
    script = benchmark("compiled", "--at-once", "1", "2", "--rounds", "1", "--tasks", *tasks)
    monkeypatch.setattr(script, "ROUND_SECONDS", 0.01)
    script.main()
    compiled, together, drawn, _ = capsys.readouterr().out.splitlines()[-4:]
    for row in (compiled, together):
        recorded, changed, ratio = map(float, row.split()[2:5])
        assert ratio == pytest.approx(recorded / changed, rel=0.05)
    assert drawn.split(maxsplit=2)[2] == "-  the model draws random numbers"
