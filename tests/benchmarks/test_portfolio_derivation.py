"""benchmarks/portfolio: what a list of recipes costs, and how an order is derived."""

import sys
from itertools import permutations
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsearch.recipe.recipe import Recipe

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "portfolio"
sys.path.insert(0, str(SCRIPTS))

import grid  # noqa: E402 - benchmarks are scripts, not a package
import regret  # noqa: E402
import runs  # noqa: E402

#: Tasks that the portfolio is reported on, and so may not have seen.
REPORTED = ("digits", "diabetes", "fashion")


def run_of(task, entry, best, seed=0, kind="grid"):
    fields = {"task": task, "entry": entry, "kind": kind, "seed": seed, "batch_size": 64}
    return runs.Run(**fields, best=best, last=best, seconds=1.0)


def table(values, task="a", again=None):
    """A task with these losses of entries and a draw of loss 1; `again`: with a second seed."""
    found = [run_of(task, name, value) for name, value in values.items()]
    found += [run_of(task, name, value, seed=1) for name, value in (again or values).items()]
    (only,) = regret.tables([*found, run_of(task, "draw 0", 1.0, kind="draw")])
    return only


def test_regret_is_0_for_the_best_and_1_for_a_median_draw_on_a_log_scale():
    found = table({"best": 0.01, "middle": 0.1, "draw-like": 1.0, "worse": 1e9, "lost": None})
    expected = {"best": 0.0, "middle": 0.5, "draw-like": 1.0, "worse": regret.WORST}
    for name, value in expected.items():
        assert found.regret[name] == pytest.approx(value)
    assert found.regret["lost"] == regret.WORST


def test_the_search_chooses_by_its_own_seed_and_is_judged_by_others():
    found = table({"lucky": 0.01, "good": 0.02}, again={"lucky": 0.1, "good": 0.01})
    assert found.after(["good"]) == 0.0
    assert found.after(["good", "lucky"]) == pytest.approx(0.5)
    assert found.after(["of another grid"]) == regret.WORST


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(0.01, 10.0), min_size=4, max_size=4), min_size=1, max_size=4))
def test_each_step_of_the_order_is_the_best_that_there_is(losses):
    """The slow and obvious way: every list that begins as the order does."""
    names = list("abcd")
    tables = [table(dict(zip(names, [*row[:3], min(row[3], 0.9)], strict=True))) for row in losses]
    order = regret.greedy(tables, names, 4)
    assert sorted(order) == names
    for count in range(1, 5):
        same_start = [p for p in permutations(names, count) if list(p[:-1]) == order[: count - 1]]
        costs = [fmean(each.after(p) for each in tables) for p in same_start]
        assert fmean(each.after(order[:count]) for each in tables) == min(costs)


def test_every_recipe_that_is_recorded_is_legal_and_has_a_name_of_its_own():
    entries = grid.entries(batch_size=64)
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        recipe = Recipe.from_dict({**entry.fields, "epochs": 1}, where=entry.name)
        assert recipe.schedule_name != "constant" or entry.kind == "draw"


def test_no_task_that_the_portfolio_is_reported_on_was_recorded():
    recorded = runs.read(runs.RUNS)
    tasks = {run.task for run in recorded}
    assert len(tasks) >= 10
    sources = "".join(path.read_text() for path in SCRIPTS.glob("*.py") if path.stem != "tasks")
    for name in REPORTED:
        assert not any(name in task for task in tasks)
        assert f"load_{name}" not in sources
    for task in tasks:
        entries = {run.entry for run in recorded if run.task == task and run.seed == 0}
        assert len(entries) == len(grid.entries(64)), task


def test_smoothing_takes_half_of_a_regret_from_the_rates_other_schedules():
    own, other = "rmsprop 0.01 linear", "rmsprop 0.01 one_cycle"
    assert grid.siblings(own) == (other,)
    assert grid.siblings("sgd 0.1 wsd at 64")[0] == "sgd 0.1 one_cycle at 64"
    smooth = regret.smoothed(table({own: 0.1, other: 1.0}), [own, other])
    assert smooth.regret == smooth.seen == {own: pytest.approx(0.5), other: pytest.approx(0.5)}


def test_a_shift_moves_rates_by_half_decades_and_ends_at_the_grids_edge():
    assert grid.neighbour("adamw 0.003 linear", 1) == "adamw 0.01 linear"
    assert grid.neighbour("adamw 0.003 one_cycle weight_decay 0.1", -1) == (
        "adamw 0.001 one_cycle weight_decay 0.1"
    )
    assert grid.neighbour("adamw 0.01 one_cycle weight_decay 0.1", 1) == "adamw 0.03 one_cycle"
    assert grid.neighbour("sgd 0.3 wsd", 1) == "sgd 1 linear"
    assert grid.neighbour("sgd 1 linear", 1) is None
    assert grid.neighbour("sgd 0.03 wsd at 64", 1) == "sgd 0.1 wsd at 64"
    sizes = {16: "sgd 0.03 wsd", 64: "sgd 0.1 wsd", 256: "sgd 0.3 wsd", 2048: None}
    assert {size: grid.meant("sgd 0.1 wsd at 64", size) for size in sizes} == sizes
    assert grid.meant("adamw 0.01 linear", 16) == "adamw 0.01 linear"
    high, low = "adamw 0.01 linear", "adamw 0.003 linear"
    moved = regret.shifted(table({high: 0.1, low: 0.2}), [low], 1)
    assert moved.regret[low] == 0.0
    assert moved.seen[low] == 0.1
