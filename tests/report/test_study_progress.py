"""How far a study is: the budget of which the most is used, and how long it still takes."""

from dataclasses import replace

import pytest
from tiny_studies import EPOCHS, TRIALS, ask, make_study, opened, work

from lrsearch.report.live import snapshot
from lrsearch.report.live.progress import study_progress
from lrsearch.storage import studies
from lrsearch.study.checkpoint_cleanup import delete_study
from lrsearch.study.prepare_database import prepare

#: How a study's budget is written, and what is shown of it before the first trial.
BUDGETS = [
    ({"trials": 5}, "trials", 5),
    ({"epochs": 24}, "epochs", 24),
    ({"runs": 6}, "epochs", 6 * EPOCHS),
    ({"time": "1h"}, "seconds", 3600),
]


def look(study):
    with study.database.read() as connection:
        return snapshot.look(connection, study.database, study.name, None)


def progress(study):
    return study_progress(look(study))


@pytest.mark.parametrize(("budget", "unit", "total"), BUDGETS, ids=[str(b[0]) for b in BUDGETS])
def test_a_new_study_has_used_nothing_of_its_budget(budget, unit, total, database):
    shown = progress(make_study(database, budget=budget))
    assert (shown.unit, shown.used, shown.total) == (unit, 0, total)
    assert (shown.note, shown.confirmed) == ("", None)


@pytest.mark.parametrize("budget", [{"epochs": 48}, {"runs": 12}], ids=["epochs", "runs"])
def test_epochs_of_search_and_confirmation_are_used(budget, database):
    study = make_study(database, budget=budget, confirm={"runs": 3})
    work(study)
    shown = progress(study)
    with database.read() as connection:
        used = studies.by_id(connection, study.study_id).epochs_used
    assert (shown.unit, shown.used, shown.total) == ("epochs", used, 48)
    assert 44 < used <= 48
    assert shown.confirmed.done == shown.confirmed.planned == 3
    assert "best val_loss 0." in shown.note


def test_of_two_budgets_the_one_nearer_to_its_end_is_shown(database):
    ample = {"trials": 100, "runs": 4}
    study = make_study(database, name="runs", budget=ample, confirm="none", pruning="none")
    work(study)
    shown = progress(study)
    assert (shown.unit, shown.used, shown.total) == ("epochs", 16, 16)
    study = make_study(database, budget={"trials": 2, "runs": 100}, confirm="none")
    work(study)
    shown = progress(study)
    assert (shown.unit, shown.used, shown.total) == ("trials", 2, 2)


@pytest.mark.both_databases
def test_a_finished_study_has_used_its_trials(database):
    study = make_study(database)
    work(study)
    shown = progress(study)
    assert (shown.unit, shown.used, shown.total) == ("trials", TRIALS, TRIALS)
    assert shown.confirmed.done == shown.confirmed.planned > 0
    assert "pruned" in shown.note


def test_of_a_deleted_study_nothing_is_shown(database):
    study = make_study(database)
    delete_study(study)
    assert look(study) is None


def timed(study, each, workers=2):
    """A look in which a complete trial ends every `each` seconds, and so many workers are there."""
    shown = look(study)
    ends = [row for row in shown.recent if row.state == "complete"]
    recent = [replace(row, epochs=4.0, ended_at=each * i) for i, row in enumerate(ends * 3)]
    there = [replace(worker, ended_at=None, started_at=0.0) for worker in shown.workers] * workers
    return replace(shown, recent=tuple(recent), workers=tuple(there), is_over=False, runs=())


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """A study of 12 trials that are all trained, of at most 100."""
    path = tmp_path_factory.mktemp("worked") / "study.db"
    with opened(f"sqlite:///{path}") as database:
        prepare(database)
        study = make_study(database, pruning="none", confirm="none")
        work(study)
        yield study


def test_what_is_left_is_told_at_the_pace_of_the_trials_that_ended_last(worked):
    shown = timed(worked, each=2.0)
    left = replace(shown, study=replace(shown.study, trials_total=112, trials_used=12))
    # 100 trials more, one every two seconds.
    assert study_progress(left).left_seconds == pytest.approx(200.0)
    in_epochs = replace(left.study, trials_total=None, epochs_total=100.0, epochs_used=48.0)
    # 52 epochs more, two in a second.
    assert study_progress(replace(left, study=in_epochs)).left_seconds == pytest.approx(26.0)


def test_the_pace_is_that_of_the_workers_that_are_here(worked):
    shown = timed(worked, each=2.0)
    late = [replace(worker, started_at=1e6) for worker in shown.workers]
    assert study_progress(replace(shown, workers=tuple(late))).left_seconds is None
    assert study_progress(replace(shown, workers=())).left_seconds is None


def test_nothing_is_left_of_a_finished_study(worked):
    assert progress(worked).left_seconds is None


def test_the_note_says_which_share_of_the_search_is_trained(database):
    first = {"portfolio": 2, "range_test": "none", "confirm": "none"}
    study = make_study(database, budget={"trials": 20}, **first)
    for told in ("portfolio", "portfolio", "portfolio and exploration"):
        ask(study)
        assert progress(study).note == told
