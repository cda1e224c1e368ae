"""Trials of a planned search in real cohorts: they wait, leave, and go on beside others."""

from collections import defaultdict

import pytest
from side_by_side import calm_task
from tiny_studies import make_study, worker_of
from trained_together import difference, numbers

from lrsearch.report.summary import curve_rows, trial_rows
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks.program import TaskProgram
from lrsearch.worker.training_loop import job_trainer

RUNGS = [0.15, 0.4]
#: Of 40 epochs: 24 trials come to the first rung, 12 to the second, 6 to the end.
BEGUN, COMPLETE = 24, 6
#: Sums of float64 in another order.
ROUNDING = 1e-9


def sgd(number):
    optimizer = {"name": "sgd", "lr": 0.003 * 1.2**number, "momentum": 0.9, "nesterov": False}
    return {"optimizer": optimizer, "schedule": {"name": "cosine"}}


@pytest.fixture
def watched(monkeypatch):
    """Each stretch that a trial trained in an engine: its mates where it left, and its weights."""
    stretches, make, alone = defaultdict(list), job_trainer.engine_for, TaskProgram.solo

    def watch(engine):
        drop = engine.drop

        def watched_drop(training):
            mates = {other.recipe.optimizer["lr"] for other in engine.trainings}
            end = numbers(training) if training.done else None
            stretches[training.recipe.optimizer["lr"]].append((mates, end))
            drop(training)

        engine.drop = watched_drop
        return engine

    monkeypatch.setattr(job_trainer, "engine_for", lambda *given: watch(make(*given)))
    monkeypatch.setattr(TaskProgram, "solo", lambda program: watch(alone(program)))
    return stretches


def test_trials_that_wait_leave_their_cohort_and_go_on_in_another(database, tmp_path, watched):
    """They end as trials that are trained one by one and do not wait: weights, curves, states."""
    search = make_study(
        database,
        pruning={"rungs": RUNGS, "rule": "planned"},
        budget={"runs": 10},
        confirm="none",
        enqueue=[sgd(number) for number in range(BEGUN)],
        checkpoints=str(tmp_path / "kept"),
    )
    worker_of(search, calm_task(), Stop(), fuse=3).run()
    rows = {row["trial"]: row for row in trial_rows(search)}
    complete = [number for number, row in rows.items() if row["state"] == "complete"]
    assert len(complete) == COMPLETE
    together = dict(watched)
    watched.clear()
    whole = make_study(
        database,
        name="whole",
        pruning="none",
        budget={"trials": COMPLETE},
        confirm="none",
        enqueue=[rows[number]["recipe"] for number in complete],
    )
    worker_of(whole, calm_task(), Stop(), fuse="off").run()
    for place, number in enumerate(complete):
        rate = rows[number]["recipe"]["optimizer"]["lr"]
        *_, (_, mine) = together[rate]
        ((_, other),) = watched[rate]
        assert difference(mine, other) < ROUNDING
        mine, other = curve(search, number), curve(whole, place)
        assert [row[:2] for row in mine] == [row[:2] for row in other]
        assert [row[2:] for row in mine] == [pytest.approx(row[2:], rel=ROUNDING) for row in other]
    mates = [[found for found, _ in together[rate]] for rate in together]
    assert {len(found) for found in mates} == {1, 2, 3}  # one for each stage that it trained
    assert any(len(found) == 3 and len({frozenset(m) for m in found}) > 1 for found in mates)
    assert max(len(found) for each in mates for found in each) == 3


def curve(search, number):
    rows, _ = curve_rows(search, number=number, all_attempts=False)
    return [(row["validation"], row["step"], row["train_loss"], row["val_loss"]) for row in rows]
