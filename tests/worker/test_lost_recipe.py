"""A database fails over and has lost a trial's recipe, whose claim it still has: what the worker
trains is recorded again, and whoever else takes the trial over begins from nothing."""

import sys
from dataclasses import replace

import pytest
from processes import until
from sqlalchemy import delete, func, select, update
from tiny_studies import (
    ask,
    curve_row,
    ended,
    make_study,
    passes_rung,
    tiny_task,
    worker_of,
)
from torch.nn.functional import mse_loss

from lrsearch.storage import checkpoints, claims, curves, rung_counts, trials
from lrsearch.storage.checkpoint_store import Saved
from lrsearch.storage.curves import LostRowsError
from lrsearch.storage.leases import Claim
from lrsearch.storage.tables import checkpoints as checkpoint_table
from lrsearch.storage.tables import curves as curve_table
from lrsearch.storage.tables import rungs as rung_table
from lrsearch.storage.tables import trials as trial_table
from lrsearch.study.optuna.attributes import RECIPE
from lrsearch.study.optuna.private import tables as optunas
from lrsearch.study.repair import repair
from lrsearch.trial.states import TrialState

sys.path.insert(0, "benchmarks")

import chaos_checks

pytestmark = pytest.mark.both_databases

GIVEN = {"optimizer": {"name": "adagrad", "lr": 0.1}, "schedule": {"name": "linear"}}
INSIDE = {
    "optimizer": {"name": "adamw", "lr": 0.01},
    "schedule": {"name": "constant"},
    "batch_size": 16,
}
SAVED = Saved(file="trial-1-3-0123456789abcdef.pt", step=3, sha256="0" * 64, bytes=9)
SHOWN = {"rung": 0, "signal": 1.0, "value": 1.0, "validation": 1}


def lose(search, number, recipe=None):
    """What a failover leaves of a trial whose claim was the last commit that reached the replica.

    `recipe` is what the queue gave it when it was claimed.
    """
    with search.database.begin() as connection:
        row = trials.by_number(connection, search.study_id, number)
        blank = {"recipe": recipe, "fingerprint": None, "audited_at": None, "audit_from": None}
        connection.execute(update(trial_table).where(trial_table.c.id == row.id).values(**blank))
        for table in (curve_table, rung_table):
            connection.execute(delete(table).where(table.c.trial == row.id))
        connection.execute(delete(checkpoint_table).where(checkpoint_table.c.item == row.id))
        rung_counts.recount(connection, search.study_id)
        for table in (optunas.params, optunas.reports, optunas.system_attributes):
            connection.execute(delete(table).where(table.c.trial_id == row.trial_id))
        key = optunas.user_attributes.c
        of_recipe = (key.trial_id == row.trial_id, key.key == RECIPE)
        connection.execute(delete(optunas.user_attributes).where(*of_recipe))


def rows_of(search, table):
    with search.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def task_that(search, number, at_step, acts):
    """The tiny task, that acts once: in this training step, from 1, of this trial's."""
    steps = []

    def loss(output, target):
        if output.requires_grad:
            with search.database.read() as connection:
                row = trials.by_number(connection, search.study_id, number)
            if row is not None and row.state == TrialState.RUNNING and row.worker is not None:
                steps.append(None)
                if len(steps) == at_step:
                    acts()
        return mse_loss(output, target)

    return replace(tiny_task(), prepare=lambda task: replace(task, loss=loss))


def assert_as_undisturbed(search):
    """Every trial has the recipe that it has trained, in both halves, and its whole curve."""
    found = chaos_checks.look(search)
    total = len(found.trials)
    for check in chaos_checks.of_study(found, total, tiny_task()):
        assert check.what == "confirmation runs" or check.broken == [], check.what
    for row, theirs in zip(found.trials, found.optuna, strict=True):
        assert row["recipe"] == theirs.user_attrs[RECIPE]
        assert theirs.params
    assert repair(search).wrong == []


# What nobody writes for a trial without a recipe


def test_no_row_mark_or_checkpoint_is_written_for_a_trial_without_a_recipe(database):
    search = make_study(database)
    assignment = ask(search)
    lose(search, 0)
    claim, rows = assignment.claim, [curve_row(1)]
    with pytest.raises(LostRowsError), database.begin() as connection:
        curves.add(connection, claim, rows)
    for taken in (None, 1):
        with pytest.raises(LostRowsError):
            passes_rung(search, assignment, rows=rows, taken=taken, **SHOWN)
    with pytest.raises(LostRowsError):
        search.tell(assignment, ended(TrialState.FAILED), taken=0)
    with pytest.raises(LostRowsError):
        search.tell(assignment, ended(TrialState.COMPLETE), rows, taken=1)
    for branches in (False, True):
        with pytest.raises(LostRowsError), database.begin() as connection:
            checkpoints.record(connection, claim, SAVED, branches=branches)
    assert [rows_of(search, t) for t in (curve_table, rung_table, checkpoint_table)] == [0, 0, 0]
    with database.read() as connection:
        assert trials.by_number(connection, search.study_id, 0).state == TrialState.RUNNING


# What becomes of the trial


@pytest.mark.parametrize("rule", ["planned", "asynchronous"])
@pytest.mark.parametrize("at_step", [1, 6, 24], ids=["first rung", "next rung", "end"])
def test_what_is_trained_is_recorded_again(database, caplog, rule, at_step):
    """A trial comes to its first rung after 4 of 24 steps, and to the next after 10."""
    search = make_study(
        database, budget={"trials": 3}, pruning={"rule": rule, "rungs": [0.15, 0.4]}, confirm="none"
    )
    lost = []
    loaded = task_that(search, 0, at_step, lambda: lost.append(lose(search, 0)))
    worker_of(search, loaded, fuse="off").run()
    assert len(lost) == 1
    assert "had lost rows of trial 0" in caplog.text
    assert_as_undisturbed(search)


def test_a_recipe_from_the_queue_is_recorded_whole_again(database):
    search = make_study(database, enqueue=[GIVEN], budget={"trials": 1}, confirm="none")
    loaded = task_that(search, 0, 2, lambda: lose(search, 0, recipe=GIVEN))
    worker_of(search, loaded, fuse="off").run()
    with database.read() as connection:
        row = trials.by_number(connection, search.study_id, 0)
    assert row.recipe["batch_size"] == 16
    assert row.fingerprint is not None


def test_a_trial_that_another_takes_over_begins_from_nothing(database, tmp_path):
    """The one that trains it has a checkpoint, and rows that wait, when its lease is freed."""
    search = make_study(
        database,
        budget={"trials": 1},
        confirm="none",
        checkpoints={"to": str(tmp_path), "every": 1e-9},
    )

    def lose_and_take_away():
        lose(search, 0)
        with database.begin() as connection:
            row = trials.by_number(connection, search.study_id, 0)
            claim = Claim(id=row.id, attempt=row.attempt, worker=row.worker)
            with pytest.raises(LostRowsError):
                curves.add(connection, claim, [curve_row(1)])
            claims.release(connection, claim)

    worker_of(search, task_that(search, 0, 14, lose_and_take_away), fuse="off").run()
    with database.read() as connection:
        row = trials.by_number(connection, search.study_id, 0)
        attempts = {one.attempt for one in curves.of_trial(connection, row.id)}
    assert (row.attempt, attempts) == (2, {2})
    assert_as_undisturbed(search)


def test_a_branch_point_has_the_whole_curve(database, tmp_path):
    """The failover has lost rows that were acknowledged, before the step that others begin from."""
    kept = {"to": str(tmp_path), "keep_step": 12, "keep_weights": True}
    how = {"enqueue": [INSIDE], "budget": {"trials": 1}, "confirm": "none", "pruning": "none"}
    search = make_study(database, checkpoints=kept, **how)

    def lose_what_is_written():
        until(lambda: rows_of(search, curve_table) > 0)
        lose(search, 0)

    worker_of(search, task_that(search, 0, 11, lose_what_is_written), fuse="off").run()
    with database.read() as connection:
        assert checkpoints.branch_point(connection, search.study_id).step == 12
    assert_as_undisturbed(search)
    from_there = {**kept, "keep_step": None, "begin_from": "tiny"}
    other = make_study(database, name="other", checkpoints=from_there, **how)
    worker_of(other, tiny_task(), fuse="off").run()
    assert_as_undisturbed(other)
