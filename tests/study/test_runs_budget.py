"""A study whose budget is in runs: it has the epochs of as many, and shows both."""

import pytest
from tiny_studies import (
    EPOCHS,
    STEPS_PER_EPOCH,
    make_study,
    opened,
    tiny_spec,
    tiny_task,
    work,
)

from lrsearch.advice.cost import cost_plan
from lrsearch.confirmation.budget import expected_trials
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.space.portfolio.default import DEFAULT
from lrsearch.spec.parts import Budget
from lrsearch.storage import range_tests, studies
from lrsearch.study.create import create_study
from lrsearch.study.prepare_database import prepare

RUNS = 12
#: Epochs of a training so long that 3 % of two pay for a range test.
LONG = 500


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Two finished studies: one of so many runs, one of their epochs."""
    url = f"sqlite:///{tmp_path_factory.mktemp('runs')}/study.db"
    with opened(url) as database:
        prepare(database)
        found = []
        for name, budget in (("runs", {"runs": RUNS}), ("epochs", {"epochs": RUNS * EPOCHS})):
            study = make_study(database, name=name, budget=budget, confirm={"runs": 3}, seed=1)
            work(study)
            found.append(study)
        yield found


def test_it_trains_what_a_study_of_as_many_epochs_trains(both):
    mine, theirs = (
        [(row["trial"], row["state"], row["value"], row["recipe"]) for row in trial_rows(study)]
        for study in both
    )
    assert mine == theirs


def test_it_shows_runs_and_epochs(both):
    runs, epochs = (summarize(study)["budget"] for study in both)
    assert runs.keys() == {"runs", "epochs"}
    assert epochs == {"epochs": runs["epochs"]}
    assert (runs["runs"]["total"], runs["epochs"]["total"]) == (RUNS, RUNS * EPOCHS)
    assert runs["runs"]["used"] == pytest.approx(runs["epochs"]["used"] / EPOCHS)


def test_its_budget_is_everything_and_is_not_exceeded(both):
    shown = summarize(both[0])
    used = shown["budget"]["runs"]["used"]
    assert RUNS - 1 < used <= RUNS
    assert used == pytest.approx(sum(shown["epochs"].values()) / EPOCHS)
    assert shown["epochs"]["confirm"] == 3 * EPOCHS
    assert sum(shown["counts"].values()) > RUNS  # pruning makes a trial cheaper than a run


@pytest.mark.parametrize(
    ("budget", "epochs"),
    [({"runs": 15}, 60.0), ({"runs": 15, "epochs": 50}, 50.0), ({"trials": 9}, None)],
    ids=str,
)
def test_a_study_goes_on_with_another_number_of_runs(tmp_path, budget, epochs):
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        study = make_study(database, budget={"runs": 2})
        create_study(
            database,
            tiny_spec(budget=budget),
            tiny_task(),
            steps_per_epoch=STEPS_PER_EPOCH,
            exist_ok=True,
        )
        with database.read() as connection:
            row = studies.by_id(connection, study.study_id)
    assert row.epochs_total == epochs
    assert row.trials_total == budget.get("trials")


def test_runs_of_a_horizon_in_steps_are_its_share_of_epochs(tmp_path):
    steps = {"epochs": None, "steps": 9, "budget": {"runs": 4}}
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        study = make_study(database, **steps)
        with database.read() as connection:
            row = studies.by_id(connection, study.study_id)
    assert row.epochs_total == 4 * 9 / STEPS_PER_EPOCH


def test_five_runs_are_the_portfolios_first_recipes_each_trained_to_its_end(tmp_path):
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        study = make_study(database, budget={"runs": 5}, portfolio="default", range_test="none")
        spec = study.spec
        assert expected_trials(spec, EPOCHS) == 5
        searched = spec.model_copy(update={"portfolio": 0})
        assert expected_trials(searched, EPOCHS) > 5  # what pruning makes of them
        work(study)
        rows = trial_rows(study)
    assert [row["kind"] for row in rows] == ["portfolio"] * len(rows)
    assert {row["state"] for row in rows} <= {"complete", "diverged"}
    assert len(rows) == 5 or "diverged" in {row["state"] for row in rows}
    first = portfolio_recipes(spec.space, DEFAULT, tiny_task().make({}).batch_size)
    assert [row["recipe"]["schedule"] for row in rows[:5]] == [r["schedule"] for r in first[:5]]


def test_a_range_test_comes_on_top_of_so_few_runs_that_it_would_cost_a_whole_one(tmp_path):
    long = {"epochs": LONG, "space": {"optimizers": ["adamw"]}, "range_test": "auto"}
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        study = make_study(database, budget={"runs": 2}, portfolio="default", **long)
        with database.begin() as connection:
            row = studies.by_id(connection, study.study_id)
            [test] = range_tests.everything(connection, study.study_id)
            assert 0 < test.epochs_reserved <= 0.03 * 2 * LONG
            assert row.epochs_total == 2 * LONG + test.epochs_reserved
            assert row.epochs_total == cost_plan(study.spec, STEPS_PER_EPOCH).most_epochs
            for runs, pays in ((0, True), (1, True), (2, False)):
                used = test.epochs_reserved + runs * LONG
                studies.change(connection, study.study_id, epochs_used=used, epochs_reserved=0.0)
                assert study.may_start(connection) == pays
        # From ten runs on it is paid from the budget.
        ten = study.spec.model_copy(update={"budget": Budget(runs=10)})
        assert cost_plan(ten, STEPS_PER_EPOCH).most_epochs == 10 * LONG
