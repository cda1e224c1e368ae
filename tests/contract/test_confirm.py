"""Confirmation: how many runs, who is re-run on which seeds, who wins, what is reported."""

from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from tiny_studies import EPOCHS, LEASE, make_search, opened, tiny_spec, work

from lrsearch import confirm
from lrsearch.confirm import CHOOSE, REPORT, Shape, allowed_runs, choose, interval, shape, summary
from lrsearch.errors import StudyError
from lrsearch.storage import confirmations, studies, trials
from lrsearch.storage.leases import Claim
from lrsearch.storage.tables import StudyState, TrialState
from lrsearch.study import optuna_rows
from lrsearch.study.database import prepare
from lrsearch.study.search import Search
from lrsearch.summary import summarize, trial_rows
from lrsearch.training.loop import Training
from lrsearch.worker import is_finished

RECIPE = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "constant"}}
SEED = 3  # of the tiny study
MINIMIZE = tiny_spec()
MAXIMIZE = tiny_spec(objective={"metric": "mae", "direction": "maximize"})


# How many


@given(
    st.integers(1, 10_000),
    st.integers(0, 10_000),
    st.none() | st.floats(0, 1e6),
    st.floats(0.01, 1000),
    st.booleans(),
)
@example(60, 60, None, 30.0, True)
@example(3, 3, None, 30.0, True)
def test_confirmation_is_at_most_a_quarter_and_fits_what_is_left(
    total, started, left, horizon, by_trials
):
    budget = {"trials": total} if by_trials else {"time": 60}
    spec = tiny_spec(budget=budget)
    runs = allowed_runs(spec, started=started, epochs_left=left, horizon=horizon)
    assert runs >= 0
    assert 4 * runs <= (total if by_trials else started)
    if left is not None:
        assert runs * horizon <= left * (1 + 1e-12)
    else:
        assert 4 * (runs + 1) > (total if by_trials else started)  # and no fewer than that


@given(st.integers(0, 200), st.integers(1, 10))
def test_runs_are_divided_between_choosing_and_reporting(runs, top):
    plan = shape(runs, top)
    assert plan.candidates * plan.seeds + plan.report == runs
    assert 1 <= plan.candidates <= top
    assert plan.report >= 0.4 * runs  # never fewer: these alone give the interval
    assert plan.seeds == 0 or (plan.seeds >= 2 and plan.candidates >= 2)
    # One more candidate would have had fewer than two seeds.
    assert plan.candidates == top or 0.6 * runs / (plan.candidates + 1) < 2


@pytest.mark.parametrize(
    ("runs", "top", "expected"),
    [
        (15, 3, Shape(candidates=3, seeds=3, report=6)),
        (30, 3, Shape(candidates=3, seeds=6, report=12)),
        (7, 3, Shape(candidates=2, seeds=2, report=3)),
        (6, 3, Shape(candidates=1, seeds=0, report=6)),
        (0, 3, Shape(candidates=1, seeds=0, report=0)),
        (15, 1, Shape(candidates=1, seeds=0, report=15)),
    ],
)
def test_shapes_by_hand(runs, top, expected):
    assert shape(runs, top) == expected


# Who wins


def run(number, seed, value, round_=CHOOSE, role="candidate", **fields):
    state = "complete" if value is not None else "diverged"
    start = {"state": state, "metrics": None if value is None else {"mae": value}}
    return {
        "number": number,
        "seed": seed,
        "value": value,
        "round": round_,
        "role": role,
        **start,
        **fields,
    }


def test_the_best_mean_wins_not_the_best_run():
    runs = [run(4, 1, 0.1), run(5, 1, 0.3), run(4, 2, 0.9), run(5, 2, 0.3)]
    assert choose(runs, MINIMIZE) == 5
    assert choose(runs, MAXIMIZE) == 4


def test_a_candidate_that_failed_a_seed_does_not_win():
    runs = [run(4, 1, 0.1), run(5, 1, 0.3), run(4, 2, None), run(5, 2, 0.4)]
    assert choose(runs, MINIMIZE) == 5


def test_of_equal_candidates_the_one_that_the_search_ranked_first_wins():
    assert choose([run(9, 1, 0.5), run(2, 1, 0.5)], MINIMIZE) == 9


def test_where_every_candidate_failed_there_is_no_winner():
    assert choose([run(4, 1, None), run(5, 1, None)], MINIMIZE) is None
    assert choose([], MINIMIZE) is None


def test_reporting_runs_have_no_say():
    runs = [run(4, 1, 0.1), run(5, 1, 0.3), run(5, 2, -9.0, REPORT, "winner")]
    assert choose(runs, MINIMIZE) == 4


# What is reported


samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30)


@given(samples)
def test_the_interval_is_scipys(values):
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert interval(values) == pytest.approx(
        [expected.low, expected.high], rel=1e-9, abs=1e-9, nan_ok=False
    )


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_values_have_no_interval(values):
    assert interval(values) is None


def reported(winner, baseline=()):
    """The reporting runs of trial 7 and of the baseline, trial 0, on the same seeds."""
    runs = [run(7, i, value, REPORT, "winner") for i, value in enumerate(winner)]
    return runs + [run(0, i, value, REPORT, "baseline") for i, value in enumerate(baseline)]


RECIPES = {0: {"baseline": True}, 7: {"baseline": False}}


def test_the_report_is_of_the_reporting_runs_alone():
    runs = [run(7, 90, -100.0), run(8, 90, -50.0), *reported([1.0, 2.0, 4.0])]
    (winner,) = summary(runs, RECIPES)
    assert winner["mean"] == pytest.approx(fmean([1.0, 2.0, 4.0]))
    assert winner["ci95"] == interval([1.0, 2.0, 4.0])
    assert (winner["trial"], winner["n"], winner["failed"]) == (7, 3, 0)
    assert winner["recipe"] == {"baseline": False}
    assert winner["metrics"]["mae"] == pytest.approx(7 / 3)
    assert not winner["tied"]


@given(samples, st.integers(0, 2**32 - 1))
def test_a_tie_is_what_the_paired_test_cannot_tell_apart(winner, seed):
    noise = stats.norm.rvs(size=len(winner), random_state=seed)
    shift = stats.norm.rvs(random_state=seed + 1) if seed < 2**32 - 1 else 0.0
    baseline = [value + shift + 0.3 * float(e) for value, e in zip(winner, noise, strict=True)]
    first, second = summary(reported(winner, baseline), RECIPES)
    low, high = stats.ttest_rel(winner, baseline).confidence_interval(0.95)
    assert first["tied"] == second["tied"] == (low <= 0 <= high)
    assert (first["role"], second["role"]) == ("winner", "baseline")


def test_a_constant_lead_is_no_tie_however_much_the_seeds_differ():
    winner = [1.0, 5.0, 9.0, 13.0]
    assert not summary(reported(winner, [1.1, 5.11, 9.1, 13.09]), RECIPES)[0]["tied"]
    assert summary(reported(winner, [1.1, 4.8, 9.3, 12.9]), RECIPES)[0]["tied"]


def test_a_seed_that_failed_counts_as_failed_and_is_left_out_of_both_means_pairs():
    winner, baseline = summary(reported([1.0, None, 3.0], [1.5, 2.5, None]), RECIPES)
    assert (winner["n"], winner["failed"], winner["mean"]) == (2, 1, 2.0)
    assert (baseline["n"], baseline["failed"], baseline["mean"]) == (2, 1, 2.0)
    assert not winner["tied"]  # one pair tells nothing


def test_a_recipe_that_failed_every_seed_is_not_confirmed():
    assert summary(reported([None, None]), RECIPES) == []


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_nothing_is_reported_before_the_last_run_has_ended(state):
    runs = reported([1.0, 2.0])
    runs[1] = {**runs[1], "value": None, "state": state}
    assert summary(runs, RECIPES) == []
    assert summary([run(7, 1, 0.5)], RECIPES) == []


# The rounds, in a database


def searched(database, values, *, kinds=(), running=0, **changes):
    """A study whose search is over, with a trial of each value (None: diverged)."""
    changes = {"budget": {"trials": len(values)}, **changes}
    search = make_search(database, **changes)
    with database.begin() as connection:
        for kind in kinds:
            studies.enqueue(connection, search.study_id, kind, RECIPE)
        for number, value in enumerate(values):
            row = trials.start(
                connection, search.study_id, "host:1:1", LEASE, horizon=search.horizon, keep=0.25
            )
            if row is None:
                break
            claim = Claim(id=row["id"], attempt=1, worker="host:1:1")
            trial_id, _ = optuna_rows.start_trial(connection, search.study_id, row["ticket"])
            trials.attach(connection, claim, trial_id=trial_id, number=number)
            trials.link(connection, claim, RECIPE)
            if number >= len(values) - running:
                continue
            state = TrialState.COMPLETE if value is not None else TrialState.DIVERGED
            end = {"state": state, "value": value, "epochs": search.horizon, "seconds": 1.0}
            assert trials.record(connection, claim, horizon=search.horizon, values=end)
    return search


def runs_of(search):
    with search.database.read() as connection:
        return confirmations.everything(connection, search.study_id)


def end_runs(search, value=lambda run: 1.0):
    """Train the planned runs; how many there were."""
    count = 0
    while True:
        with search.database.begin() as connection:
            claimed = confirmations.claim(connection, search.study_id, "host:1:1", LEASE)
            if claimed is None:
                return count
            scored = value(claimed)
            state = TrialState.COMPLETE if scored is not None else TrialState.DIVERGED
            end = {"state": state, "value": scored, "epochs": search.horizon, "seconds": 1.0}
            assert confirmations.record(connection, claimed, end)
        count += 1


VALUES = [5.0, 1.0, None, 2.0, 4.0, 3.0] * 10  # the best are trials 1, 7, 13, ...


def test_the_best_are_re_run_then_the_winner_on_seeds_of_its_own(database):
    search = searched(database, VALUES)
    assert confirm.advance(search)
    first = runs_of(search)
    assert {(r["round"], r["role"]) for r in first} == {("choose", "candidate")}
    # Seed by seed: the candidates are compared on the same ones.
    assert [(r["seed"], r["number"]) for r in first] == [
        (SEED + i, number) for i in (1, 2, 3, 4) for number in (1, 7)
    ]
    assert not confirm.advance(search)
    assert end_runs(search, lambda r: 1.0 + (r["number"] != 7)) == 8
    assert confirm.advance(search)
    second = [r for r in runs_of(search) if r["round"] == "report"]
    assert {(r["number"], r["role"]) for r in second} == {(7, "winner")}
    assert [r["seed"] for r in second] == list(range(SEED + 5, SEED + 12))
    assert not is_finished(search)
    assert end_runs(search, lambda r: float(r["seed"])) == 7
    assert not confirm.advance(search)
    assert is_finished(search)
    (winner,) = confirm.confirmed(search)
    assert (winner["trial"], winner["n"], winner["mean"]) == (7, 7, SEED + 8.0)


@pytest.mark.parametrize("count", [4, 12, 28, 60])
@pytest.mark.parametrize("baseline", [False, True], ids=["alone", "baseline"])
def test_no_seed_both_chooses_and_reports_nor_is_the_searchs(database, count, baseline):
    search = searched(database, VALUES[:count], kinds=["baseline"] if baseline else [])
    while confirm.advance(search):
        end_runs(search)
    runs = runs_of(search)
    seeds = {name: {r["seed"] for r in runs if r["round"] == name} for name in (CHOOSE, REPORT)}
    assert seeds[REPORT]
    assert seeds[CHOOSE].isdisjoint(seeds[REPORT])
    assert SEED not in seeds[CHOOSE] | seeds[REPORT]
    assert len(runs) <= count / 4
    assert len(runs) > count / 4 - 2  # an odd one is left where a baseline takes half


def test_a_baseline_runs_on_the_winners_seeds(database):
    search = searched(database, VALUES, kinds=["baseline"])
    while confirm.advance(search):
        end_runs(search, lambda r: r["number"] + r["seed"] / 1000)
    last = [r for r in runs_of(search) if r["round"] == "report"]
    by_role = {
        role: [(r["number"], r["seed"]) for r in last if r["role"] == role]
        for role in ("winner", "baseline")
    }
    assert [seed for _, seed in by_role["winner"]] == [seed for _, seed in by_role["baseline"]]
    assert {number for number, _ in by_role["baseline"]} == {0}
    winner, baseline = confirm.confirmed(search)
    assert (winner["trial"], baseline["trial"], winner["tied"]) == (1, 0, False)


def test_where_the_baseline_itself_wins_it_runs_once(database):
    search = searched(database, [0.5, *VALUES[1:]], kinds=["baseline"])
    while confirm.advance(search):
        end_runs(search, lambda r: float(r["number"]))
    assert {r["number"] for r in runs_of(search) if r["round"] == "report"} == {0}
    assert [item["role"] for item in confirm.confirmed(search)] == ["winner"]


def test_a_winner_that_failed_gives_way_to_the_next(database):
    search = searched(database, VALUES)
    confirm.advance(search)
    end_runs(search, lambda r: None if r["number"] == 1 and r["seed"] == SEED + 2 else 1.0)
    confirm.advance(search)
    assert {r["number"] for r in runs_of(search) if r["round"] == "report"} == {7}


def test_where_all_candidates_fail_confirmation_ends(database):
    search = searched(database, VALUES)
    confirm.advance(search)
    end_runs(search, lambda r: None)
    assert not confirm.advance(search)
    assert is_finished(search)
    assert confirm.confirmed(search) == []


def test_more_is_better_where_the_study_says_so(database):
    objective = {"metric": "mae", "direction": "maximize"}
    search = searched(database, VALUES, objective=objective)
    confirm.advance(search)
    assert {r["number"] for r in runs_of(search)} == {0, 6}


@pytest.mark.parametrize("blocked", ["running trial", "budget left", "paused", "none wanted"])
def test_nothing_is_planned_before_the_search_is_over(database, blocked):
    changes = {
        "running trial": {"running": 1},
        "budget left": {"budget": {"trials": 61}},
        "paused": {},
        "none wanted": {"confirm": "none"},
    }[blocked]
    search = searched(database, VALUES, **changes)
    if blocked == "paused":
        with database.begin() as connection:
            studies.set_state(connection, search.study_id, StudyState.PAUSED)
    assert not confirm.advance(search)
    assert runs_of(search) == []
    assert is_finished(search) == (blocked == "none wanted")


def test_a_stopped_study_is_confirmed(database):
    search = searched(database, VALUES, budget={"trials": 100})
    assert not confirm.advance(search)
    with database.begin() as connection:
        studies.set_state(connection, search.study_id, StudyState.STOPPED)
    assert confirm.advance(search)


def test_a_study_without_a_complete_trial_has_nothing_to_confirm(database):
    search = searched(database, [None] * 12)
    assert not confirm.advance(search)
    assert is_finished(search)


def test_eight_threads_plan_a_round_once(database):
    search = searched(database, VALUES)
    with ThreadPoolExecutor(8) as threads:
        planned = list(threads.map(lambda _: confirm.advance(search), range(8)))
    assert sum(planned) == 1
    assert len(runs_of(search)) == 8


@pytest.mark.parametrize("total", [16, 63, 100, 101.5, 240])
def test_search_and_confirmation_together_stay_within_total_epochs(database, total):
    search = searched(database, VALUES, budget={"total_epochs": total})
    with database.read() as connection:
        assert not search.may_start(connection)
        used = studies.by_id(connection, search.study_id)["epochs_used"]
    assert used <= 0.75 * total
    while confirm.advance(search):
        end_runs(search)
    with database.read() as connection:
        row = studies.by_id(connection, search.study_id)
    assert row["epochs_used"] == used + EPOCHS * len(runs_of(search)) <= total
    assert len(runs_of(search)) * EPOCHS <= 0.25 * row["trials_used"] * EPOCHS


# Asked for by hand


def test_a_confirmation_of_another_size_is_planned_anew(database):
    search = searched(database, VALUES)
    while confirm.advance(search):
        end_runs(search)
    before = runs_of(search)
    confirm.request(search, top=3, runs=15)
    assert runs_of(search) == []
    again = Search.open(database, search.name)
    while confirm.advance(again):
        end_runs(again)
    runs = runs_of(again)
    assert len(before) == len(runs) == 15
    assert len({r["number"] for r in runs if r["round"] == "choose"}) == 3
    confirm.request(again, top=3, runs=15)  # the same again is there already
    assert runs_of(again) == runs


def test_more_than_a_quarter_is_refused(database):
    search = searched(database, VALUES)
    with pytest.raises(StudyError, match=r"--runs 16 .* at most 15"):
        confirm.request(search, top=None, runs=16)
    assert runs_of(search) == []


def test_a_study_that_is_too_small_to_confirm_says_so(database):
    search = searched(database, [1.0, 2.0, 3.0])
    with pytest.raises(StudyError, match="at most 0"):
        confirm.request(search, top=None, runs=None)


def test_a_study_without_a_complete_trial_cannot_be_confirmed(database):
    search = searched(database, [None] * 12)
    with pytest.raises(StudyError, match="no complete trial"):
        confirm.request(search, top=None, runs=1)


# With real training


def test_a_worker_confirms_what_it_has_searched(tmp_path):
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        baseline = {"optimizer": {"name": "sgd", "lr": 0.001}}
        search = make_search(database, budget={"trials": 36}, epochs=1, baseline=baseline)
        work(search)
        result, runs = summarize(search), runs_of(search)
    assert result["state"] == "finished"
    assert result["counts"]["running"] == 0
    assert {r["state"] for r in runs} <= {"complete", "diverged"}
    assert len(runs) == 8  # of 9 allowed; the report's 5 are 2 for each and 1 left
    assert result["epochs"]["confirm"] == sum(r["epochs"] for r in runs)
    assert result["epochs"]["confirm"] <= 0.25 * 36
    winner, second = result["confirmed"]
    assert (second["role"], second["trial"]) == ("baseline", 0)
    values = [r["value"] for r in runs if r["role"] == "winner"]
    assert winner["mean"] == pytest.approx(fmean(values))
    assert winner["mean"] < second["mean"]
    # Other seeds, other values: they were trained, not copied.
    assert len({r["value"] for r in runs}) == len(runs)
    assert result["best"]["value"] not in values


def test_a_confirmation_on_a_seed_is_the_run_that_a_study_with_that_seed_makes(tmp_path):
    """A run's recipe, with its seed, trained as the enqueued trial of another study."""
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        search = make_search(database, budget={"trials": 4}, enqueue=[RECIPE])
        work(search)
        (only,) = runs_of(search)
        with database.read() as connection:
            recipe = trials.by_number(connection, search.study_id, only["number"])["recipe"]
        fields = {key: recipe[key] for key in ("optimizer", "schedule", "warmup")}
        other = make_search(
            database,
            name="other",
            seed=only["seed"],
            budget={"trials": 1},
            confirm="none",
            enqueue=[fields],
        )
        work(other)
        assert summarize(other)["best"]["value"] == only["value"]


def test_the_confirmed_is_what_the_study_is_asked_for(database):
    """`study show` puts the confirmed first, also where the search ranked another one best."""
    search = searched(database, VALUES)
    while confirm.advance(search):
        end_runs(search, lambda r: 1.0 + (r["number"] != 7))
    result = summarize(search)
    assert result["best"]["trial"] == 1
    assert [item["trial"] for item in result["confirmed"]] == [7]


def test_a_run_that_breaks_midway_or_takes_too_long_has_no_value(database, monkeypatch):
    search = make_search(database, budget={"trials": 4}, confirm={"top": 1})
    work(search)
    with database.begin() as connection:
        runs = confirmations.everything(connection, search.study_id)
        numbers = {run["number"] for run in runs}
        confirmations.clear(connection, search.study_id)
    validate, seen = Training.validate, []

    def breaks(training, **options):
        seen.append(training)
        if len(seen) == 4:
            raise RuntimeError("metric broke")
        return validate(training, **options)

    monkeypatch.setattr(Training, "validate", breaks)
    work(search)
    with database.read() as connection:
        runs = confirmations.everything(connection, search.study_id)
    assert {run["number"] for run in runs} == numbers
    (run,) = (run for run in runs if run["state"] == "failed")
    assert (run["value"], run["metrics"]) == (None, None)
    assert run["reason"] == "RuntimeError: metric broke"


def test_a_trial_that_trains_longer_than_max_trial_time_has_failed(database):
    search = make_search(database, budget={"trials": 2}, confirm="none", max_trial_time=1e-6)
    work(search)
    rows = trial_rows(search)
    assert [row["state"] for row in rows] == ["failed", "failed"]
    assert {row["reason"] for row in rows} == {"it trained longer than max_trial_time, 1e-06 s"}
