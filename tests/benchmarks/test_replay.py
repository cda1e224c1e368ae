"""The replay of recorded runs: what is charged, who is chosen, and that pruning is worth it."""

import gzip
import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
#: The first 75 of the 2,000 recorded digits runs and some that diverged.
EXCERPT = Path(__file__).parents[1] / "data" / "digits_mlp_excerpt.jsonl.gz"

sys.path.insert(0, str(SCRIPTS))

import replay  # noqa: E402 - benchmarks are scripts, not a package
import replay_plan  # noqa: E402
import replay_rules  # noqa: E402
import replay_scores  # noqa: E402
import replay_table  # noqa: E402


def run_of(curve, family="cosine"):
    """A recorded run; None: diverged."""
    rows = {"family": family, "curves": {"val_error": curve}}
    return replay_table.make_run(rows, "val_error", "val_error")


def make_table(*curves):
    runs = [run_of(curve) for curve in curves]
    return replay_table.Table(runs=runs, signal="val_error", target="val_error", has_twin=False)


@st.composite
def recorded(draw):
    """Runs of several horizons, with ties, some of which diverge."""
    losses = st.integers(0, 6).map(float) | st.floats(0, 6)
    curve = st.lists(losses, min_size=2, max_size=30)
    runs = []
    for values in draw(st.lists(curve, min_size=1, max_size=25)):
        healthy = draw(st.integers(0, 2 * len(values)))
        filled = [value if i < healthy else None for i, value in enumerate(values)]
        runs.append(run_of(filled, draw(st.sampled_from("ab"))))
    return runs


def slow_halving(runs):
    """The asynchronous rule, written out: who ends, and the epochs spent by then."""
    spent, seen, ends = 0, {}, []
    for run in runs:
        epochs, stopped = run.epochs, False
        for epoch, rung in replay_rules.at_progress(run.horizon).items():
            if epoch >= run.epochs:
                break
            mine = run.signal[epoch - 1]
            peers = seen.setdefault(rung, [])
            peers.append(mine)
            place = sum(other < mine for other in peers)
            share = max(1, math.floor(len(peers) / replay_rules.PRUNING.eta + 0.5))
            if len(peers) >= replay_rules.PRUNING.min_peers and place >= share:
                epochs, stopped = epoch, True
                break
        spent += epochs
        if not stopped and math.isfinite(run.value):
            ends.append((spent, run.value))
    return ends


@settings(max_examples=50)
@given(recorded())
def test_the_asynchronous_rule_is_the_one_written_out(runs):
    assert list(replay_rules.halving(runs)) == slow_halving(runs)


@settings(max_examples=25)  # each through two studies of Optuna's
@given(recorded())
def test_no_rule_spends_an_epoch_twice_or_lets_a_diverged_run_end(runs):
    table = replay_table.Table(runs=runs, signal="", target="", has_twin=False)
    most = sum(run.epochs for run in runs)
    values = sorted(run.value for run in runs if not run.diverged)
    for name, rule in replay_rules.rules_of(table, 0).items():
        ends = list(rule(runs))
        spent = [end.spent for end in ends]
        assert all(a < b for a, b in itertools.pairwise(spent)), name
        assert max(spent, default=0) <= most, name
        left = list(values)
        for end in ends:
            left.remove(end.value)
    if values:
        everything = list(replay_rules.no_pruning(runs))
        assert sorted(end.value for end in everything) == values


def test_a_diverged_run_is_charged_up_to_the_epoch_in_which_it_diverged():
    table = make_table([1.0, None, None, None], [1.0, 1.0, 1.0, 0.5])
    for name, rule in replay_rules.rules_of(table, 0).items():
        assert list(rule(table.runs)) == [(2 + 4, 0.5)], name


def test_who_was_stopped_goes_on_once_enough_worse_ones_have_come():
    late = run_of([0.2] + [0.05] * 29)
    runs = [run_of([value] * 30) for value in (0.1, 0.3)] + [late] + [run_of([0.9] * 30)] * 2
    assert list(replay_rules.halving(runs)) == [(30, 0.1), (60, 0.3)]
    assert list(replay_rules.promoting(runs[:-1])) == [(30, 0.1), (60, 0.3)]
    # An epoch of each that was stopped, and the 29 that were left of one.
    assert list(replay_rules.promoting(runs))[2:] == [(60 + 3 + 29, 0.05)]


def test_the_best_of_a_family_goes_on_if_families_are_protected():
    runs = [run_of([value] * 30, "cosine") for value in (0.1, 0.2, 0.3)]
    odd = run_of([0.9] * 30, "cyclic")
    assert 0.9 not in [end.value for end in replay_rules.halving([*runs, odd])]
    assert 0.9 in [end.value for end in replay_rules.halving([*runs, odd], families=True)]
    assert 0.9 not in [
        end.value
        for end in replay_rules.halving([*runs, replace(odd, family="cosine")], families=True)
    ]


def test_optunas_pruner_is_asked_after_each_epoch():
    good, bad = [0.1] * 10, [0.9] * 10
    table = make_table(*[good] * 5, bad, good)
    ends = list(replay_rules.rules_of(table, 0)["median"](table.runs))
    assert [end.spent for end in ends] == [10, 20, 30, 40, 50, 61]


def test_regret_is_that_of_the_best_run_that_has_ended_within_the_budget():
    table = make_table([0.5] * 10, [0.2] * 10, [0.3] * 10)
    ends = [replay_rules.Ended(10, 0.3), replay_rules.Ended(30, 0.2)]
    regret = replay_scores.regrets(table, ends)
    found = [regret[replay_scores.at(budget)] for budget in (0.75, 1, 2.75, 3, 40)]
    assert found == pytest.approx([0.3, 0.1, 0.1, 0.0, 0.0])


def test_a_budget_is_reached_where_the_mean_regret_first_is_as_low():
    falling = np.linspace(1, 0, len(replay_scores.GRID))
    regret = {"slow": np.array([falling, falling]), "fast": np.array([falling / 2, falling / 2])}
    budgets, intervals = replay_scores.budgets_to_reach(regret)
    assert budgets["slow"]["slow@20x"] == 20
    assert budgets["fast"]["fast@40x"] == budgets["slow"]["fast@40x"] == 40
    assert budgets["fast"]["slow@20x"] == 0.25  # half of it from the start on
    assert intervals["slow"]["slow@20x"] == [20, 20]


# Planned halving.


def slow_plan(runs, epochs, ends):
    """The plan with one worker, written out: who ends, and the epochs spent by then."""
    early = [epochs * 0.2 * (number + 1) for number in range(3)]
    ended, spent, line = [], 0, list(runs)
    for stage, limit in enumerate([*early, epochs]):
        passed = []
        for run in line:
            start, end = [0, *ends(run)][stage : stage + 2]
            if spent + end - start > limit + 1e-6:
                break
            spent += min(end, run.epochs) - start
            if run.epochs > end or (run.epochs == end and not run.diverged):
                passed.append((run.signal[end - 1], runs.index(run), run))
                if stage == 3:
                    ended.append((spent, run.value))
        line = [run for *_, run in sorted(passed, key=lambda row: row[:2])]
    return ended


@settings(max_examples=50)
@given(recorded(), st.integers(1, 12), st.integers(0, 9))
def test_the_plan_is_what_is_written_out(runs, budget, falls):
    runs = [replace(run, falls=min(falls, run.horizon - 1)) for run in runs]
    runs = [run for number, run in enumerate(runs) if run not in runs[:number]]
    table = replay_table.Table(runs=runs, signal="", target="", has_twin=False)
    for ends in (replay_plan.ends_at_progress, replay_plan.ends_after_fall):
        found = list(replay_plan.planned(table, runs, budget, ends))
        assert found == slow_plan(runs, budget * table.mean_horizon, ends)


def test_below_ten_runs_the_plan_is_asynchronous():
    draw = np.random.default_rng(0)
    table = make_table(*(list(draw.random(27)) for _ in range(60)))
    plan = replay_plan.regrets(table, table.runs, replay_plan.ends_at_progress)
    asynchronous = replay_scores.regrets(table, replay_rules.halving(table.runs))
    ten = replay_scores.at(10)
    assert list(plan[:ten]) == list(asynchronous[:ten])
    assert list(plan[ten:]) != list(asynchronous[ten:])


def test_rungs_are_counted_from_where_the_rate_falls():
    run = replace(run_of([0.5] * 30), falls=10)
    assert list(replay_plan.ends_at_progress(run)) == [1, 3, 10, 30]
    assert list(replay_plan.ends_after_fall(run)) == [11, 12, 17, 30]


@pytest.mark.parametrize(
    ("config", "family", "falls"),
    [
        ({"warm": 0.3}, "onecycle", 3),
        ({"warm": 0.3, "decay": 0.2}, "wsd", 8),
        ({"lr_peak_epoch": 6}, "linear-up-down", 6),
        ({"warmup_steps": 500, "total_model_steps": 1000}, "warmup-linear", 5),
        ({"lr_peak_epoch": 10}, "linear-up-down", 9),
        ({}, "cosine", 0),
    ],
)
def test_when_the_rate_falls_is_read_from_the_recipe(config, family, falls):
    row = {"family": family, "config": config, "curves": {"val_error": [0.5] * 10}}
    assert replay_table.make_run(row, "val_error", "val_error").falls == falls


# The recorded digits runs.


@pytest.fixture(scope="module")
def excerpt():
    """Replayed once: 79 runs, by their losses."""
    table = replay_table.read_table(EXCERPT, target="val_loss")
    names = ("asynchronous", "none", "raw")
    found = [replay.replay_order(table, names, 0, number) for number in range(100)]
    return dict(zip(names, np.array(found).transpose(1, 0, 2), strict=True))


def test_pruning_at_equal_progress_is_not_worse_than_none(excerpt):
    for budget in (5, 10, 20):
        column = replay_scores.at(budget)
        gain = excerpt["asynchronous"][:, column] - excerpt["none"][:, column]
        row = replay_scores.mean_and_error(gain)
        assert row["mean"] <= 2 * row["se"]


def test_the_regrets_are_what_they_were(excerpt):
    """A change of rungs, rounding, peers or signal shows here: measure anew on whole files."""
    columns = [replay_scores.at(budget) for budget in (2.5, 5, 10)]
    found = {name: values[:, columns].mean(axis=0) for name, values in excerpt.items()}
    assert found["asynchronous"] == pytest.approx([0.6241, 0.02481, 0.00452], abs=1e-4)
    assert found["none"] == pytest.approx([0.61418, 0.10707, 0.01227], abs=1e-4)
    assert found["raw"] == pytest.approx([0.6439, 0.02626, 0.00952], abs=1e-4)


def test_replay_sets_rules_beside_no_pruning_and_optunas(monkeypatch, capsys):
    options = ("--data", str(EXCERPT), "--target", "val_loss")
    options += ("--rules", "asynchronous,hyperband,planned")
    sizes = ("--orders", "4", "--processes", "1", "--json")
    monkeypatch.setattr(sys, "argv", ["replay.py", *options, *sizes])
    replay.main()
    result = json.loads(capsys.readouterr().out)
    rules = ["asynchronous", "hyperband", "planned", "none", "median"]
    assert list(result["regret"]) == list(result["budget_to_reach"]) == rules
    for row in [
        *result["regret"].values(),
        *result["to_none"].values(),
        *result["to_asynchronous"].values(),
    ]:
        assert set(row) == {"5x", "10x", "20x", "40x"}
        assert all(set(cell) == {"mean", "se"} for cell in row.values())
    assert result["budget_to_reach"]["none"]["none@20x"] <= 20
    assert set(result["budget_to_reach"]["asynchronous"]) == {
        f"{rule}@{goal}x" for rule in rules for goal in (20, 40)
    }
    for shares in result["recall_top5"].values():
        assert len(shares) == len(replay_rules.PRUNING.rungs)
    assert "all" in result["recall_top5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--rules", "asynchronus"),
            "--rules asynchronus: accepted are asynchronous, none, median",
        ),
        (("--orders", "1"), "--orders 1: at least 2 are needed for a standard error"),
        (("--signal", "val_los"), "--signal val_los: recorded is val_loss, val_loss_ema"),
        (("--data", "absent.gz"), "--data absent.gz: "),
    ],
    ids=["rules", "orders", "signal", "data"],
)
def test_replay_says_in_one_line_what_it_cannot_replay(options, message, monkeypatch, capsys):
    base = ("--data", str(EXCERPT), "--target", "val_loss")
    monkeypatch.setattr(sys, "argv", ["replay.py", *base, *options])
    with pytest.raises(SystemExit) as left:
        replay.main()
    said = left.value.code if isinstance(left.value.code, str) else capsys.readouterr().err
    assert message in said


def test_the_target_is_named_where_several_quantities_were_recorded(tmp_path):
    path = tmp_path / "two.jsonl.gz"
    row = {"family": "a", "curves": {"loss": [1.0], "loss_ema": [1.0], "accuracy": [0.5]}}
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    with pytest.raises(replay_table.TableError, match="recorded is accuracy, loss; name one"):
        replay_table.read_table(path)
    table = replay_table.read_table(path, target="accuracy", signal="loss")
    assert table.has_twin
