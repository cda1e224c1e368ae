"""What the progress bar shows of a study: the budget of which the most is used."""

import pytest
from tiny_studies import EPOCHS, TRIALS, make_study, work

from lrsearch.storage import studies
from lrsearch.study.checkpoint_cleanup import delete_study
from lrsearch.worker.study_progress import study_progress

#: How a study's budget is written, and what is shown of it before the first trial.
BUDGETS = [
    ({"trials": 5}, "trials", 5),
    ({"epochs": 24}, "epochs", 24),
    ({"runs": 6}, "epochs", 6 * EPOCHS),
    ({"time": "1h"}, "seconds", 3600),
]


def progress(study):
    with study.database.read() as connection:
        return study_progress(connection, study)


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
    assert progress(study) is None
