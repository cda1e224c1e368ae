"""The replay of recorded ladders: it charges what it looks up, and judges by all seeds."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(SCRIPTS))

import record_transfer  # noqa: E402 - of the benchmarks
import transfer  # noqa: E402
import transfer_methods  # noqa: E402

LRS = 1e-4 * 1.5 ** np.arange(18)


def cell(best=0.005):
    x = np.log(LRS / best)
    loss = np.exp(0.3 * x**2)
    horizons = np.array([1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7])[:, None, None]
    return transfer_methods.Cell(
        task="made", name="made", lrs=LRS, losses=np.ones((7, 18, 3)) * loss[:, None] * horizons
    )


def test_a_table_whose_best_lr_does_not_move_is_solved():
    made = cell()
    assert made.best == pytest.approx(math.log(0.005), abs=0.02)
    said = transfer_methods.METHODS["ladder and 3 probes"](made, 0)
    assert made.regret(said.lr) < 0.05
    assert said.cost == pytest.approx((9 + 10 + 20 + 24 + 256) / 64)
    assert said.interval[0] < 0.005 < said.interval[1]


def test_direct_searches_are_charged_for_every_full_run():
    made = cell()
    assert transfer_methods.METHODS["direct, 5 lrs"](made, 0).cost == 5
    assert transfer_methods.METHODS["direct, 9 x 3 seeds"](made, 0).cost == 27
    assert made.regret(transfer_methods.METHODS["direct, 5 + 2"](made, 0).lr) < 0.05


def test_what_is_outside_of_the_table_counts_as_diverged():
    assert cell().run(1, 1.0, 0).loss is None
    assert cell().run(64, float(LRS[3]), 0).loss is not None


def test_the_recorded_tables_are_replayed():
    cells = transfer.load(transfer.TABLES, "last", ["ae"])
    result = transfer.replay(cells[:1], 1)
    assert set(result) == set(transfer_methods.METHODS)
    assert result["direct, 9 x 3 seeds"]["cost"]["mean"] == 27
    assert result["ladder and 3 probes"]["covers"] is not None
    bars = {what: reached for what, _, _, reached in transfer.bars(result)}
    assert bars["cost, at most a third of direct, 9 x 3 seeds"]


def test_held_out_tables_are_of_four_tasks_at_least_two_of_which_overfit():
    """With AdamW and a linear schedule the best final loss of 64 units is above that of fewer."""
    overfit = {}
    for path in transfer.HELD_OUT.glob("*_adamw.npz"):
        least = np.exp(np.log(np.load(path)["last"][:, 0]).mean(-1)).min(-1)
        overfit[path.stem] = least[-1] > least.min()
    assert len(overfit) >= 4
    assert sum(overfit.values()) >= 2


@pytest.mark.slow
def test_a_table_whose_recording_is_interrupted_goes_on_to_the_same_losses(tmp_path, monkeypatch):
    monkeypatch.setattr(record_transfer, "HORIZONS", (1,))
    monkeypatch.setattr(record_transfer, "LRS", 2)
    grid = record_transfer.Grid(steps=2, lowest={"sgd": 0.01})
    monkeypatch.setitem(record_transfer.GRIDS, "wine", grid)
    whole, cut = tmp_path / "whole.npz", tmp_path / "cut.npz"
    record_transfer.table_of("wine", "sgd", 1, whole)
    train, trained = record_transfer.cohort_of, []

    def fails_once(*arguments):
        trained.append(arguments[2])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(record_transfer, "cohort_of", fails_once)
    with pytest.raises(KeyboardInterrupt):
        record_transfer.table_of("wine", "sgd", 1, cut)
    record_transfer.table_of("wine", "sgd", 1, cut)
    assert trained == ["linear", "cosine", "cosine", "wsd"]
    assert {path.name for path in tmp_path.iterdir()} == {"whole.npz", "cut.npz"}
    assert np.array_equal(np.load(whole)["last"], np.load(cut)["last"])
    assert np.isfinite(np.load(whole)["train"]).all()
