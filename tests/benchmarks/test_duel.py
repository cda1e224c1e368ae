"""benchmarks/duel.py: rows can be had again, budgets hold, figures are what they say."""

import importlib
import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsearch.range_test.plan import ramp_plan
from lrsearch.storage import range_tests
from lrsearch.training.range_test import RangeTraining
from lrsearch.training.start import start_training

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


@pytest.fixture
def duel_of_file(duel, monkeypatch):
    """Runs the benchmark on a file of tasks."""

    def run(path, *options):
        monkeypatch.setattr(sys, "argv", ["duel.py", "--tasks", path, *options])
        importlib.import_module("duel").main()

    return run


def test_a_duel_that_was_cut_short_goes_on_to_the_same_rows(duel, tmp_path, capsys):
    options = ("--json", "--resume", "rows.jsonl", "--plot", "regret.png", "--variant", "none")
    duel(*options)
    whole = (tmp_path / "rows.jsonl").read_text()
    result = json.loads(capsys.readouterr().out)["tasks"]["line.py:task"]
    assert list(result["methods"]) == ["plain", "lrsearch"]
    for columns in result["methods"].values():
        assert list(columns) == ["2x", "4x", "8x"]
        for name, column in columns.items():
            assert len(column["values"]) == 2
            assert set(column["metrics"]) == {"error"}
            assert column["epochs"]["most"] <= 2 * int(name.removesuffix("x"))
    assert (tmp_path / "regret.png").read_bytes().startswith(b"\x89PNG")

    lines = whole.splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(lines[:-3]))
    duel(*options)
    again = json.loads(capsys.readouterr().out)["tasks"]["line.py:task"]
    assert again == result
    assert (tmp_path / "rows.jsonl").read_text() == whole

    with pytest.raises(SystemExit, match=r"Error: --resume rows.jsonl: line 1 is of .*'epochs': 2"):
        duel(*options, "--epochs", "3")


def test_tasks_of_a_file_have_a_table_each_and_one_over_them(duel_of_file, tmp_path, capsys):
    (tmp_path / "tasks.yaml").write_text(
        "short: {task: line.py:task, epochs: 1}\nsolo: {task: line.py:task, epochs: 2, together: 1}"
    )
    variants = ("--variant", "portfolio alone", "--variant", "portfolio=none")
    options = ("tasks.yaml", "--resume", "kept", "--seeds", "1", "--budget", "8", *variants)
    duel_of_file(*options)
    said = capsys.readouterr().out
    heads = [line.split(":")[0] for line in said.splitlines() if " studies each" in line]
    assert heads == ["short", "solo"]
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"short.jsonl", "solo.jsonl"}

    duel_of_file(*options, "--json")
    result = json.loads(capsys.readouterr().out)
    methods = ["plain", "lrsearch", "portfolio alone", "portfolio=none"]
    for found in result["tasks"].values():
        assert list(found["methods"]) == methods
    assert {row["tasks"] for row in result["standings"]} == {2}

    duel_of_file(*options, "--only", "solo", "--json")
    assert list(json.loads(capsys.readouterr().out)["tasks"]) == ["solo"]


def test_each_part_is_left_out_once_unless_variants_are_given(duel, monkeypatch):
    script = importlib.import_module("duel")

    def names(*options):
        argv = ["duel.py", "--task", "line.py:task", "--epochs", "1", *options]
        monkeypatch.setattr(sys, "argv", argv)
        found = script.contenders(script.parse_options())
        return [name for contender in found for name in contender.columns([5, 20])]

    usual = ["plain", "plain, re-runs", "lrsearch"]
    parts = ["portfolio alone", "portfolio=none", "range_test=none", "pruning={rule: asynchronous}"]
    assert names() == [*usual, *parts]
    assert names("--variant", "none") == usual
    assert names("--variant", "ema=none", "--against", "random") == [
        "random",
        "lrsearch",
        "ema=none",
    ]


def test_the_tasks_that_are_shipped_can_be_read_and_were_not_used_to_derive(duel):
    tasks = importlib.import_module("duel_task_file")
    shipped = {path: tasks.read_tasks(path) for path in (SCRIPTS / "duel_tasks").glob("*.yaml")}
    assert {path.name for path in shipped} == {"small.yaml", "all.yaml"}
    derived = (SCRIPTS / "portfolio" / "tasks.py").read_text()
    for path, of_file in shipped.items():
        for task in of_file:
            file, _, attribute = task.reference.rpartition(":")
            assert (path.parent / file).is_file()
            assert attribute == "task" or f"{attribute}," not in derived


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 3", "Error: tasks.yaml: a = 3, but {task: FILE.py:ATTRIBUTE, epochs: N} is needed"),
        ("a: {task: line.py:task}", "Error: tasks.yaml: a: epochs"),
        ("a: {task: line.py:task, epochs: 0}", "Error: tasks.yaml: a: epochs"),
        ("a: {task: line.py, epochs: 1}", "Error: tasks.yaml: a: task"),
        ("a: {task: line.py:task, epoch: 1}", "Error: tasks.yaml: a: epoch .*epochs"),
        ("- a", "Error: tasks.yaml: the file of tasks is a list"),
        ("b: {task: line.py:task, epochs: 1}", "Error: --only a: tasks.yaml has b"),
    ],
)
def test_a_wrong_file_of_tasks_is_one_line(duel_of_file, tmp_path, content, message):
    (tmp_path / "tasks.yaml").write_text(content)
    with pytest.raises(SystemExit, match=message) as raised:
        duel_of_file("tasks.yaml", "--only", "a")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pruning", "'pruning' is no change of a study file; FIELD=VALUE is accepted"),
        ("pruning=none,", "'' is no change"),
        ("seed=3", "the duel decides seed"),
        ("pruning=[", "is not valid YAML"),
    ],
)
def test_a_variant_is_a_change_of_a_study_file(duel, text, message):
    with pytest.raises(SystemExit, match=f"Error: --variant .*{message}"):
        duel("--variant", text)


def test_a_variant_has_the_fields_that_its_name_says(duel):
    parse = importlib.import_module("duel_variants").parse
    assert parse("portfolio=none,range_test=none") == {"portfolio": "none", "range_test": "none"}
    assert parse("portfolio=3") == {"portfolio": 3}
    with pytest.raises(SystemExit, match="Error: --variant portfolios=none: portfolios"):
        duel("--variant", "portfolios=none")


ADAM = {"name": "adamw", "lr": 0.05}
RECIPES = {
    "adamw": {"optimizer": ADAM, "schedule": {"name": "one_cycle"}},
    "sgd": {"optimizer": {"name": "sgd", "lr": 0.3, "momentum": 0.9}},
    "diverges": {"optimizer": {"name": "sgd", "lr": 1e6}},
}


def problem_of(together, epochs=4):
    training = importlib.import_module("duel_training")
    return training.Problem(reference="line.py:task", epochs=epochs, together=together)


def recipe_of(problem, name, **study):
    spec = problem.spec(budget={"trials": 1}, **study)
    return spec.recipe(RECIPES[name], batch_size=8).to_dict()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("study", [{"ema": "none"}, {"ema": {"epochs": 1, "deploy": True}}])
def test_judges_that_are_one_program_say_what_each_says_alone(duel, name, study):
    training = importlib.import_module("duel_training")
    solo, fused = problem_of(1), problem_of(8)
    recipe = recipe_of(solo, name, **study)
    alone, together = solo.judge(recipe), fused.judge(recipe)
    assert len(set(alone.values)) == len(training.JUDGES) == 8
    assert together.values == pytest.approx(alone.values, rel=1e-4)
    assert together.metrics == pytest.approx(alone.metrics, rel=1e-3)
    for one, other in zip(
        solo.reruns(recipe, training.JUDGES), fused.reruns(recipe, training.JUDGES), strict=True
    ):
        assert (one.epochs, one.complete) == (other.epochs, other.complete)
        assert one.complete == (name != "diverges")


def test_a_recipe_is_judged_once_whoever_recommends_it(duel, monkeypatch):
    training = importlib.import_module("duel_training")
    problem, trained = problem_of(8), []
    train = training.train
    monkeypatch.setattr(
        training, "train", lambda engine, sources: trained.append(sources) or train(engine, sources)
    )
    first = problem.judge(recipe_of(problem, "sgd", ema="none", seed=1))
    assert problem.judge(recipe_of(problem, "sgd", ema="none", seed=2)) == first
    assert len(trained) == 1
    kept = training.Verdict(values=(1.0,) * 8, metrics={})
    problem.remember(recipe_of(problem, "adamw", ema="none"), kept)
    assert problem.judge(recipe_of(problem, "adamw", ema="none", seed=3)) is kept
    assert len(trained) == 1


def test_plain_users_that_are_trained_together_try_what_each_tries_alone(duel):
    """Places are filled as trials end, some stopped, some diverged; numbers differ by rounding."""
    methods = importlib.import_module("duel_methods")
    solo = methods.search_with(problem_of(1), methods._tpe, [3, 4, 5], 9)
    fused = methods.search_with(problem_of(2), methods._tpe, [3, 4, 5], 9)
    for one, other in zip(solo, fused, strict=True):
        assert len(one.trials) >= 9
        pairs = list(zip(one.trials, other.trials, strict=True))[:9]
        assert [a.epochs for a, _ in pairs] == pytest.approx([b.epochs for _, b in pairs])
        assert [a.value for a, _ in pairs] == pytest.approx([b.value for _, b in pairs], rel=1e-3)
    assert any(not trial.complete for search in solo for trial in search.trials)


def test_the_careful_user_pays_for_re_runs(duel):
    methods = importlib.import_module("duel_methods")
    found = list(methods.plain(problem_of(4, epochs=1), [0], [5, 20]))
    assert [(f.method, f.budget) for f in found] == [
        ("plain", 5),
        ("plain", 20),
        ("plain, re-runs", 20),
    ]
    careful = found[-1]
    assert careful.epochs["confirm"] == 9
    assert careful.epochs["search"] <= 11
    assert sum(careful.epochs.values()) <= 20


def test_the_portfolio_alone_is_the_best_of_its_first_recipes(duel):
    methods = importlib.import_module("duel_methods")
    problem = problem_of(4)
    found = {f.budget: f for f in methods.portfolio_alone(problem, [6], [1, 3, 40])}
    spec = problem.spec(budget={"trials": 1}, seed=6)
    values = []
    for fields in methods._portfolio(problem, 6):
        recipe = spec.recipe(fields, batch_size=8)
        training = start_training(spec, recipe, problem.cache)
        best = math.inf
        while not training.done:
            training.advance(training.next_validation)
            if training.is_due:
                row = training.validate(with_ema=False)
                best = min(best, row.val_loss if row.val_loss_ema is None else row.val_loss_ema)
        values.append(best)
    for budget in (1, 3, 40):
        assert found[budget].own == pytest.approx(min(values[:budget]), rel=1e-3)
        assert found[budget].epochs["search"] == pytest.approx(4 * len(values[:budget]))


def test_variants_that_come_to_the_same_study_have_one(duel, monkeypatch):
    methods = importlib.import_module("duel_methods")
    problem, run = problem_of(8, epochs=2), []
    run_study = methods.run_study
    monkeypatch.setattr(methods, "run_study", lambda *a: run.append(a) or run_study(*a))
    [usual] = methods.lrsearch(problem, [0], [4])
    [same] = methods.lrsearch(problem, [0], [4], name="range_test=none", range_test="none")
    assert len(run) == 1  # 8 epochs have no room for a range test
    assert replace(usual, method=same.method) == same
    [other] = methods.lrsearch(problem, [0], [4], name="portfolio=none", portfolio="none")
    assert len(run) == 2
    assert other.recipe != usual.recipe


def test_a_disturbed_study_is_set_beside_the_same_seeds_undisturbed(duel, capsys):
    duel("--hardship", "bad-defaults", "--json", "--seeds", "1")
    result = json.loads(capsys.readouterr().out)
    calm, hurt = (result["studies"][name]["mean"] for name in ("lrsearch", "bad-defaults"))
    assert result["loss"]["mean"] == pytest.approx((hurt - calm) / calm)
    assert calm != hurt


def test_windows_are_recorded_one_and_a_half_decades_off(duel):
    with pytest.raises(SystemExit, match="Error: --hardship wrong-range-test: with 8 runs"):
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


def test_pairs_and_errors_are_those_of_studies_and_judges(duel):
    summary = importlib.import_module("duel_summary")
    ours, theirs = [[1.0, 3.0], [2.0, 4.0], [3.0, 5.0]], [[2.0, 2.0], [2.0, 4.0], [4.0, 5.0]]
    pair = summary.paired(ours, theirs)  # differences -1 1, 0 0, -1 0
    assert pair["mean"] == pytest.approx(-1 / 6)
    assert pair["relative"] == pytest.approx(-1 / 19)
    assert pair["better"] == 1
    # Means of judges -2/3, 1/3, whose variance is larger than that from studies and judges less
    # that of single differences.
    of_study, of_judge, single = (1 / 12) / 3, (1 / 2) / 2, (17 / 30) / 6
    assert of_judge > of_study + of_judge - single
    assert pair["se"] == pytest.approx(math.sqrt(of_judge))
    assert pair["outcome"] == "tie"
    same_recipe = summary.judged_mean([[1.0, 3.0], [1.0, 3.0]])
    assert same_recipe["se"] == pytest.approx(1.0)  # of two judges, however many studies
    assert summary.paired([[1.0, 1.0]], [[2.0, 2.0]])["outcome"] == "tie"  # one study: no error
    assert summary.paired(theirs, theirs)["outcome"] == "tie"


def test_what_a_part_contributes_is_the_relative_difference_without_it(duel):
    summary, record = map(importlib.import_module, ("duel_summary", "duel_record"))
    tasks = {}
    for task, factor in (("one", 1.0), ("two", 3.0)):
        kept = record.Record({}, None)
        for seed, (base, more) in enumerate(((1.0, 0.2), (2.0, 0.4))):
            kept.add(a_row(record, "lrsearch", seed, 5, [base, base + 0.5]))
            judged = [base + factor * more, base + 0.5 + factor * more / 2]
            kept.add(a_row(record, "ema=none", seed, 5, judged))
        methods = ["lrsearch", "ema=none"]
        tasks[task] = {**ABOUT, **summary.summary(kept, methods, [5], range(2))}
    found = {
        task: result["methods"]["ema=none"]["5x"]["against"]["ours"]
        for task, result in tasks.items()
    }
    # Means 0.225 and 0.675 over lrsearch's 1.75.
    assert found["one"]["relative"] == pytest.approx(0.225 / 1.75)
    assert found["two"]["relative_se"] == pytest.approx(3 * found["one"]["relative_se"])
    both = summary.over_tasks(found)
    assert both["relative"] == pytest.approx(2 * 0.225 / 1.75)
    assert both["relative_se"] == pytest.approx(10**0.5 / 2 * found["one"]["relative_se"])
    said = summary.text({"tasks": tasks, "standings": summary.standings(tasks)})
    assert said.splitlines()[-1].split()[:3] == ["ema=none", "5x", "+12.9"]
    assert "ours" not in tasks["one"]["methods"]["lrsearch"]["5x"]["against"]
    alone = {"one": {**ABOUT, **summary.summary(kept, ["lrsearch"], [5], range(2))}}
    assert summary.parts_text(alone) == []


#: What a duel says of a task beside its summary.
ABOUT = {"task": "t.py:task", "epochs": 1, "judges": [0, 1]}


def test_the_error_of_a_mean_is_what_means_of_new_studies_and_judges_have(duel):
    """Over many drawn tables with effects of studies, of judges and of both."""
    judged_mean = importlib.import_module("duel_summary").judged_mean
    draw = np.random.default_rng(0)
    found = [
        judged_mean(
            draw.normal(0, 1, (8, 1)) + draw.normal(0, 2, (1, 8)) + draw.normal(0, 1, (8, 8))
        )
        for _ in range(1000)
    ]
    truth = np.std([table["mean"] for table in found])
    assert np.sqrt(np.mean([table["se"] ** 2 for table in found])) == pytest.approx(truth, rel=0.1)


LOSS = st.floats(0.1, 10).map(lambda value: round(value, 1))
#: Three studies, two judges.
LOSSES = st.lists(st.lists(LOSS, min_size=2, max_size=2), min_size=3, max_size=3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(LOSSES, LOSSES, LOSSES, LOSSES), min_size=1, max_size=4))
def test_standings_are_what_a_slow_count_says(tasks):
    sys.path.insert(0, str(SCRIPTS))
    try:
        summary, record = map(importlib.import_module, ("duel_summary", "duel_record"))
    finally:
        sys.path.remove(str(SCRIPTS))
    results = {}
    for number, (plain_small, plain_large, small, large) in enumerate(tasks):
        kept = record.Record({}, None)
        cells = {("plain", 5): plain_small, ("plain", 20): plain_large}
        for (method, budget), values in {**cells, ("ours", 5): small, ("ours", 20): large}.items():
            for seed, judged in enumerate(values):
                kept.add(a_row(record, method, seed, budget, judged))
        results[f"task {number}"] = summary.summary(kept, ["plain", "ours"], [5, 20], range(3))
    found = {(row["method"], row["budget"]): row for row in summary.standings(results)}
    for budget, ours_at, plain_at in (("5x", 2, 0), ("20x", 3, 1)):
        row = found["ours", budget]
        for against, theirs_at in (("same", plain_at), ("largest", 1)):
            counts = {"win": 0, "tie": 0, "loss": 0}
            for task in tasks:
                counts[slow_outcome(task[ours_at], task[theirs_at])] += 1
            assert row[against] == counts
        means = [sorted(sum(judged) / 2 for judged in task[ours_at]) for task in tasks]
        worst = max(largest / middle for _, middle, largest in means)
        assert row["worst"] == pytest.approx(worst)
    assert found["plain", "5x"]["same"] == {"win": 0, "tie": 0, "loss": 0}


def a_row(record, method, seed, budget, judged):
    nothing = {"epochs": {"search": 1.0}, "trials": {"complete": 1}, "metrics": {}}
    return record.Row(
        method=method, seed=seed, budget=budget, recipe={}, own=1.0, judged=judged, **nothing
    )


def slow_outcome(ours, theirs):
    rows = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(ours, theirs, strict=True)]
    single = [value for row in rows for value in row]
    of_study = error_of([sum(row) / len(row) for row in rows])
    of_judge = error_of([sum(column) / len(column) for column in zip(*rows, strict=True)])
    variance = max(of_study, of_judge, of_study + of_judge - error_of(single))
    mean = sum(single) / len(single)
    if abs(mean) <= variance**0.5 * (1 + 1e-9):
        return "tie"
    return "win" if mean < 0 else "loss"


def error_of(values):
    """Variance of the mean."""
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)


def test_a_column_that_lacks_a_seed_is_left_out(duel):
    summary, record = map(importlib.import_module, ("duel_summary", "duel_record"))
    kept = record.Record({}, None)
    for seed, budget in ((0, 5), (1, 5), (0, 20)):
        kept.add(a_row(record, "plain", seed, budget, [1.0 + seed]))
    found = summary.summary(kept, ["plain", "lrsearch"], [5, 20], range(2))
    assert {m: list(columns) for m, columns in found["methods"].items()} == {"plain": ["5x"]}


def test_the_plain_user_recommends_what_its_budget_could_know(duel):
    methods = importlib.import_module("duel_methods")
    problem = problem_of(1, epochs=2)
    trial = methods.Trial(recipe={"n": 0}, value=3.0, complete=True, epochs=2.0)
    trials = [
        trial,
        replace(trial, recipe={"n": 1}, value=1.0, complete=False, epochs=3.0),
        replace(trial, recipe={"n": 2}, value=2.0, epochs=5.0),
    ]
    search = methods.Search(problem, None, 0, 3, trials=trials)
    found = {f.budget: f for f in methods.by_own_number("plain", search, [1, 2, 3])}
    assert [found[b].recipe["n"] for b in (1, 2, 3)] == [0, 0, 2]  # a stopped trial is no answer
    assert [found[b].epochs["search"] for b in (1, 2, 3)] == [2, 3, 5]
