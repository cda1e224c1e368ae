"""A study that trains a ladder: its runs are ordinary trials with horizons of their own."""

import pytest
from tiny_studies import STEPS_PER_EPOCH, ask, ended, make_study, tiny_spec, work

from lrsearch.errors import StudyError
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.load import report_of
from lrsearch.report.transfer import transfer_document
from lrsearch.storage import curves, studies, trials
from lrsearch.study import ladder
from lrsearch.study.create_ladder import make_ladder
from lrsearch.study.enqueue import enqueue
from lrsearch.study.repair import repair
from lrsearch.study.status import is_finished
from lrsearch.transfer.asked import Asked, asked_study
from lrsearch.transfer.plan import expected_cost, worst_cost
from lrsearch.transfer.successor import ladder_of
from lrsearch.trial.states import StudyState, TrialState

SGD = {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}, "schedule": "cosine"}


def ladder_spec(**asked):
    spec = tiny_spec()
    recipe = spec.recipe(SGD, batch_size=None)
    return asked_study(spec, recipe, Asked(**{"to": 8, **asked}), STEPS_PER_EPOCH)


@pytest.fixture
def climbed(database):
    """A ladder that one worker of this process has trained."""
    study = make_ladder(make_study(database), ladder_spec(objective="last"))
    work(study)
    return study


def row_of(study):
    with study.database.read() as connection:
        return studies.by_id(connection, study.study_id)


def runs_of(study):
    with study.database.read() as connection:
        return trials.everything(connection, study.study_id)


def test_a_worker_trains_rung_after_rung_within_the_budget(climbed):
    rows, row = runs_of(climbed), row_of(climbed)
    horizons = [trial.recipe["epochs"] for trial in rows]
    assert horizons == sorted(horizons)
    assert set(horizons) == {1, 2, 4, 8}
    assert {trial.kind for trial in rows} == {"ladder"}
    whole = [trial for trial in rows if trial.state == TrialState.COMPLETE]
    assert all(trial.epochs == trial.recipe["epochs"] for trial in whole)
    assert row.epochs_used == sum(trial.epochs for trial in rows)
    assert row.epochs_reserved == 0
    assert row.epochs_total == worst_cost(ladder_of(climbed.spec)).total
    assert row.epochs_used >= 0.8 * expected_cost(ladder_of(climbed.spec)).total
    assert repair(climbed).done == []
    assert is_finished(climbed)


def test_its_report_has_the_answer_and_ranks_long_runs_alone(climbed):
    report = report_of(climbed)
    document = transfer_document(report.transfer)
    assert report.state == "finished"
    assert report.reason == "budget"
    assert document["complete"]
    assert document["unit"] == "epochs"
    assert [rung["horizon"] for rung in document["rungs"]] == [1, 2, 4]
    assert {trial.recipe["epochs"] for trial in report.ranked} == {8}
    if document["refusal"] is None:
        low, high = document["interval"]
        assert low <= document["lr"] <= high
        assert report.best.parsed.lr == document["lr"]
        assert report.transfer.recipe.epochs == 8
    check_other_objective(climbed, report)


def check_other_objective(climbed, report):
    """It knows what `best` would give where the ladder is about `last`."""
    with climbed.database.read() as connection:
        lowest = {
            trial.id: min(row.val_loss for row in curves.of_trial(connection, trial.id))
            for trial in report.trials
            if trial.is_scored
        }
    assert {trial.id: trial.value for trial in report.other_trials} == lowest
    assert any(lowest[trial.id] < trial.value for trial in report.trials if trial.is_scored)
    assert set(transfer_document(report.transfer)["objectives"]) == {"last", "best", "apart"}


def test_the_same_ladder_is_found_again_and_another_is_refused(climbed):
    source = make_study(climbed.database, name="other")
    spec = ladder_spec(objective="last")
    assert make_ladder(source, spec).study_id == climbed.study_id
    with pytest.raises(StudyError, match=r"exists with another definition: .*seeds"):
        make_ladder(source, ladder_spec(objective="last", seeds=2))


def test_a_trial_reserves_its_own_horizon_and_gives_it_back(database):
    study = make_ladder(make_study(database), ladder_spec())
    assert ask(study) is None  # nothing is planned yet
    assert not is_finished(study)
    assert ladder.advance(study)
    assert not ladder.advance(study)
    first, second = ask(study, "a:1:1"), ask(study, "b:1:1")
    assert row_of(study).epochs_reserved == 2
    assert repair(study).done == []
    study.tell(first, ended(TrialState.DIVERGED, epochs=0.5))
    assert row_of(study).epochs_reserved == 1
    assert row_of(study).epochs_used == 0.5
    assert second.recipe.epochs == 1
    assert second.recipe.optimizer["momentum"] == 0.9


def test_a_paused_ladder_plans_nothing(database):
    study = make_ladder(make_study(database), ladder_spec())
    with database.begin() as connection:
        studies.set_state(connection, study.study_id, StudyState.PAUSED)
    assert not ladder.advance(study)
    with database.begin() as connection:
        studies.set_state(connection, study.study_id, StudyState.OPEN)
    assert ladder.advance(study)


def test_a_recipe_that_somebody_enqueues_is_trained_and_left_out_of_the_ladder(database):
    study = make_ladder(make_study(database), ladder_spec(probes=0))
    enqueue(study, {"optimizer": {"name": "adamw", "lr": 0.01}, "epochs": 2}, "recipe")
    work(study)
    kinds = [trial.kind for trial in runs_of(study)]
    assert kinds.count("enqueued") == 1
    assert len(report_of(study).transfer.runs) == len(kinds) - 1


def test_seeds_are_those_of_the_study_and_the_next_ones(database):
    study = make_ladder(make_study(database), ladder_spec(seeds=2, probes=0))
    ladder.advance(study)
    with database.read() as connection:
        waiting = studies.waiting(connection, study.study_id)
    assert {each.recipe["seed"] for each in waiting} == {study.spec.seed, study.spec.seed + 1}
    assert len(waiting) == 18


def test_what_is_stored_reads_back_as_the_same_study(database):
    spec = ladder_spec()
    study = make_ladder(make_study(database), spec)
    assert study.spec == spec
    assert Recipe.from_dict(study.spec.ladder.recipe).lr == 0.05
