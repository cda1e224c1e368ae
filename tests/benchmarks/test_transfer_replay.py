"""The replay of recorded ladders: it charges what it looks up, and judges by all seeds."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(SCRIPTS))

import transfer  # noqa: E402 - of the benchmarks

LRS = 1e-4 * 1.5 ** np.arange(18)


def cell(best=0.005):
    x = np.log(LRS / best)
    loss = np.exp(0.3 * x**2)
    horizons = np.array([1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7])[:, None, None]
    return transfer.Cell(
        task="made", name="made", lrs=LRS, losses=np.ones((7, 18, 3)) * loss[:, None] * horizons
    )


def test_a_table_whose_best_lr_does_not_move_is_solved():
    made = cell()
    assert made.best == pytest.approx(math.log(0.005), abs=0.02)
    said = transfer.METHODS["ladder and 3 probes"](made, 0)
    assert made.regret(said.lr) < 0.05
    assert said.cost == pytest.approx((9 + 10 + 20 + 24 + 256) / 64)
    assert said.interval[0] < 0.005 < said.interval[1]


def test_direct_searches_are_charged_for_every_full_run():
    made = cell()
    assert transfer.METHODS["direct, 5 lrs"](made, 0).cost == 5
    assert transfer.METHODS["direct, 9 x 3 seeds"](made, 0).cost == 27
    assert made.regret(transfer.METHODS["direct, 5 + 2"](made, 0).lr) < 0.05


def test_what_is_outside_of_the_table_counts_as_diverged():
    assert cell().run(1, 1.0, 0).loss is None
    assert cell().run(64, float(LRS[3]), 0).loss is not None


def test_the_recorded_tables_are_replayed():
    cells = transfer.load(transfer.TABLES, "last", ["ae"])
    result = transfer.replay(cells[:1], 1)
    assert set(result) == set(transfer.METHODS)
    assert result["direct, 9 x 3 seeds"]["cost"]["mean"] == 27
    assert result["ladder and 3 probes"]["covers"] is not None
