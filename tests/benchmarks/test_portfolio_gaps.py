"""What more runs bring: the shipped figures are those of the recorded runs."""

import json
import math
import sys
from pathlib import Path

import command
import pytest

from lrsearch.space.portfolio.gaps import APART, DRAWS, PORTFOLIO, TASKS, after

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "portfolio"
sys.path.insert(0, str(SCRIPTS))

import gaps  # noqa: E402 - benchmarks are scripts, not a package
import regret  # noqa: E402


def table(task, losses):
    """A task with these losses of entries; its best is 1, its median draw e."""
    names = list(losses)
    return regret.TaskTable(
        task=task,
        seen=losses,
        regret={name: math.log(losses[name]) for name in names},
        scale=1.0,
    )


def test_the_shipped_gaps_are_those_of_the_recorded_runs(tmp_path):
    ended = command.run_script(SCRIPTS / "gaps.py", "--json", folder=tmp_path, seconds=120)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["tasks"] == TASKS
    assert pytest.approx(APART, abs=5e-4) == found["apart"]
    for shipped, recorded in ((PORTFOLIO, found["portfolio"]), (DRAWS, found["draws"])):
        assert [gap.recipes for gap in shipped] == list(range(1, 1 + len(recorded)))
        for gap, row in zip(shipped, recorded, strict=True):
            assert gap.median == pytest.approx(row["median"], abs=5e-4)
            assert gap.upper == pytest.approx(row["upper"], abs=5e-4)


def test_a_gap_is_the_chosen_recipes_loss_above_the_best_by_hand():
    tables = [
        table("a", {"x": 1.5, "y": 1.2}),
        table("b", {"x": 1.1, "y": 2.0}),
        table("c", {"x": 1.3, "y": 1.0}),
    ]
    order = gaps.derived({name: ["x", "y"] for name in "abc"})
    first, second, *_ = gaps.gaps(tables, order)
    assert first["median"] == pytest.approx(0.3)
    assert first["upper"] == pytest.approx(0.5)
    assert second["median"] == pytest.approx(0.1)
    # Of a pair the worse one's loss, less 1: 1.5 / 1.2, 2.0 / 1.1 and 1.3 / 1.
    names = {name: ["x", "y"] for name in "abc"}
    assert gaps.apart(tables, names) == pytest.approx(0.3)


def test_after_more_recipes_than_were_recorded_it_is_the_last():
    assert after(PORTFOLIO, 1).recipes == 1
    assert after(PORTFOLIO, 500) == PORTFOLIO[-1]
    with pytest.raises(ValueError, match="recipes = 0, but at least 1 is needed"):
        after(PORTFOLIO, 0)
