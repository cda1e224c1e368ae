"""Confirmation in a database: how many runs, who is re-run on which seeds, by several workers."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import fmean

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import event, insert, update
from tiny_studies import EPOCHS, LEASE, curve_row, make_study, opened, tiny_spec, work

from lrsearch.confirmation.budget import allowed_runs, reserved_runs, reserved_share
from lrsearch.confirmation.plan import CHOOSE, REPORT
from lrsearch.errors import StudyError
from lrsearch.report.load import report_of
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.storage import confirmations, projects, range_tests, studies, tables, trials
from lrsearch.storage.ends import ConfirmationEnd, End, TrialEnd
from lrsearch.storage.leases import Claim
from lrsearch.storage.range_tests import PlannedTest
from lrsearch.study import confirmation
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna import gate
from lrsearch.study.prepare_database import prepare
from lrsearch.study.status import is_finished
from lrsearch.study_name import DEFAULT_PROJECT
from lrsearch.training.solo import SoloTraining
from lrsearch.trial.states import StudyState, TrialState

RECIPE = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "constant"}}
SEED = 3  # of the tiny study


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


# The rounds, in a database


def searched(database, values, *, kinds=(), running=0, stop=False, **changes):
    """A study whose search is over, with a trial of each value (None: diverged)."""
    changes = {"budget": {"trials": len(values)}, **changes}
    search = make_study(database, **changes)
    keep = reserved_share(search.spec, search.horizon)
    with database.begin() as connection:
        for kind in kinds:
            studies.enqueue(connection, search.study_id, kind, RECIPE)
        for number, value in enumerate(values):
            row = trials.start(
                connection, search.study_id, "host:1:1", LEASE, horizon=search.horizon, keep=keep
            )
            if row is None:
                break
            claim = Claim(id=row.id, attempt=1, worker="host:1:1")
            trial_id, _ = gate.writer(connection).start_trial(search.study_id, row.ticket)
            trials.attach(connection, claim, trial_id=trial_id, number=number)
            trials.link(connection, claim, RECIPE)
            if number >= len(values) - running:
                continue
            state = TrialState.COMPLETE if value is not None else TrialState.DIVERGED
            end = TrialEnd(state=state, value=value, epochs=search.horizon, seconds=1.0)
            assert trials.record(connection, claim, end, horizon=search.horizon)
        if stop:
            studies.set_state(connection, search.study_id, StudyState.STOPPED)
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
            end = ConfirmationEnd(state=state, value=scored, epochs=search.horizon, seconds=1.0)
            assert confirmations.record(connection, claimed, end)
        count += 1


VALUES = [5.0, 1.0, None, 2.0, 4.0, 3.0] * 10  # the best are trials 1, 7, 13, ...


def jitter(run):
    """Noise of a run's seed and trial, the same each time."""
    return 0.1 * (hash((run.seed, run.number)) % 97 / 97 - 0.5)


@pytest.mark.both_databases
def test_the_best_are_re_run_then_the_two_finalists_on_seeds_of_their_own(database):
    search = searched(database, VALUES, budget={"trials": 80}, confirm={"runs": 20}, stop=True)
    assert confirmation.advance(search)
    first = runs_of(search)
    assert {(r.round, r.role) for r in first} == {("choose", "candidate")}
    # Seed by seed: the candidates are compared on the same ones.
    assert [(r.seed, r.number) for r in first] == [(SEED + 1, n) for n in (1, 7, 13, 19, 25)]
    assert not confirmation.advance(search)
    score = {1: 2.0, 7: 1.0, 13: 1.02, 19: 2.1, 25: 2.2}
    spent = []
    while not any(r.round == "report" for r in runs_of(search)):
        spent.append(end_runs(search, lambda r: score[r.number] + jitter(r)))
        assert confirmation.advance(search)
    assert spent == [5, 3, 4]
    report = [r for r in runs_of(search) if r.round == "report"]
    assert {r.number for r in report} == {7, 13}
    assert {r.role for r in report} == {"winner", "rival"}
    assert sorted({r.seed for r in report}) == list(range(SEED + 5, SEED + 9))
    assert not is_finished(search)
    assert end_runs(search, lambda r: score[r.number] + jitter(r)) == 8
    assert not confirmation.advance(search)
    assert is_finished(search)
    winner, rival = report_of(search).confirmed
    assert {winner.trial, rival.trial} == {7, 13}
    assert winner.n == rival.n == 4
    assert winner.reasons.tied_with == (rival.trial,)


@pytest.mark.parametrize("count", [4, 12, 28, 60])
@pytest.mark.parametrize("baseline", [False, True], ids=["alone", "baseline"])
@pytest.mark.parametrize("has_test", [False, True], ids=["", "test"])
def test_no_seed_both_chooses_and_reports_nor_is_the_searchs(database, count, baseline, has_test):
    search = searched(database, VALUES[:count], kinds=["baseline"] if baseline else [])
    while confirmation.advance(search, has_test=has_test):
        end_runs(search, lambda r: 1.0 + jitter(r))
    runs = runs_of(search)
    seeds = {name: {r.seed for r in runs if r.round == name} for name in (CHOOSE, REPORT)}
    assert seeds[REPORT]
    assert seeds[CHOOSE].isdisjoint(seeds[REPORT])
    assert SEED not in seeds[CHOOSE] | seeds[REPORT]
    assert len(runs) <= count / 4
    assert len(runs) > count / 4 - 2  # an odd one is left where a baseline takes half
    tests = [r for r in runs if r.round == "test"]
    assert len(tests) == (has_test and count > 4)
    assert {r.seed for r in tests}.isdisjoint(seeds[CHOOSE] | seeds[REPORT])


@pytest.mark.both_databases
def test_a_study_whose_test_run_is_due_is_not_finished(database):
    """Also for whoever does not know the task: the rows that report say that it follows."""
    search = searched(database, VALUES)
    while not any(r.round == REPORT for r in runs_of(search)):
        assert confirmation.advance(search, has_test=True)
        end_runs(search, lambda r: r.number + jitter(r))
    assert not is_finished(search)
    assert report_of(search).confirmed[0].reasons.test is None
    assert confirmation.advance(search)
    with database.begin() as connection:
        claimed = confirmations.claim(connection, search.study_id, "host:1:1", LEASE)
        assert (claimed.round, claimed.role, claimed.number) == ("test", "winner", 1)
        end = ConfirmationEnd(
            state=TrialState.COMPLETE, value=1.0, epochs=4.0, seconds=1.0, test={"val_loss": 0.3}
        )
        assert confirmations.record(connection, claimed, end)
    assert is_finished(search)
    assert report_of(search).confirmed[0].reasons.test == {"val_loss": 0.3}


@pytest.mark.both_databases
def test_candidates_are_those_with_steady_curves_pruned_ones_among_them(database):
    search = searched(database, [5.0, 1.0, 4.0, 2.0, 3.0] * 8)
    lucky, steady = [9.0, 9.0, 0.1, 9.0], [0.6, 0.5, 0.5, 0.5]
    with database.begin() as connection:
        rows = {r.number: r.id for r in trials.everything(connection, search.study_id)}
        for number, losses in ((1, lucky), (2, steady)):
            lines = [vars(curve_row(i + 1, val_loss=loss)) for i, loss in enumerate(losses)]
            values = [{**line, "trial": rows[number], "attempt": 1} for line in lines]
            for row in values:
                del row["test"]  # of confirmation runs alone
            connection.execute(insert(tables.curves), values)
        pruned = update(tables.trials).where(tables.trials.c.id == rows[2])
        connection.execute(pruned.values(state=TrialState.PRUNED, value=0.5))
    confirmation.advance(search)
    assert {r.number for r in runs_of(search)} == {2, 6}


def test_a_baseline_runs_on_the_winners_seeds(database):
    search = searched(database, VALUES, kinds=["baseline"])
    while confirmation.advance(search):
        end_runs(search, lambda r: -r.number + r.seed / 1000)
    last = [r for r in runs_of(search) if r.round == "report"]
    by_role = {
        role: [(r.number, r.seed) for r in last if r.role == role]
        for role in ("winner", "baseline")
    }
    assert [seed for _, seed in by_role["winner"]] == [seed for _, seed in by_role["baseline"]]
    assert {number for number, _ in by_role["baseline"]} == {0}
    winner, baseline = report_of(search).confirmed
    assert (winner.trial, baseline.trial, baseline.tied) == (7, 0, False)


def test_where_the_baseline_itself_wins_it_runs_once(database):
    search = searched(database, [0.5, *VALUES[1:]], kinds=["baseline"])
    while confirmation.advance(search):
        end_runs(search, lambda r: float(r.number))
    assert {r.number for r in runs_of(search) if r.round == "report"} == {0}
    assert [item.role for item in report_of(search).confirmed] == ["winner"]


def test_a_winner_that_failed_gives_way_to_the_next(database):
    search = searched(database, VALUES)
    confirmation.advance(search)
    end_runs(search, lambda r: None if r.number == 1 and r.seed == SEED + 2 else 1.0)
    confirmation.advance(search)
    assert {r.number for r in runs_of(search) if r.round == "report"} == {7}


def test_where_all_candidates_fail_confirmation_ends(database):
    search = searched(database, VALUES)
    confirmation.advance(search)
    end_runs(search, lambda r: None)
    assert not confirmation.advance(search)
    assert is_finished(search)
    assert report_of(search).confirmed == ()


def test_more_is_better_where_the_study_says_so(database):
    objective = {"metric": "mae", "direction": "maximize"}
    search = searched(database, VALUES, objective=objective)
    confirmation.advance(search)
    assert {r.number for r in runs_of(search)} == {0, 6}


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
    assert not confirmation.advance(search)
    assert runs_of(search) == []
    assert is_finished(search) == (blocked == "none wanted")


def test_a_stopped_study_is_confirmed(database):
    search = searched(database, VALUES, budget={"trials": 100})
    assert not confirmation.advance(search)
    with database.begin() as connection:
        studies.set_state(connection, search.study_id, StudyState.STOPPED)
    assert confirmation.advance(search)


def test_a_study_without_a_complete_trial_has_nothing_to_confirm(database):
    search = searched(database, [None] * 12)
    assert not confirmation.advance(search)
    assert is_finished(search)


@pytest.mark.parametrize("count", [12, 28])
def test_a_study_with_pruned_trials_alone_ends_whether_or_not_the_task_has_a_test_set(
    database, count
):
    search = searched(database, [1.0, 2.0] * (count // 2))
    with database.begin() as connection:
        connection.execute(update(tables.trials).values(state=TrialState.PRUNED))
    assert not confirmation.advance(search, has_test=True)
    assert is_finished(search)


@pytest.mark.both_databases
def test_eight_threads_plan_a_round_once(database):
    search = searched(database, VALUES)
    with ThreadPoolExecutor(8) as threads:
        planned = list(threads.map(lambda _: confirmation.advance(search), range(8)))
    assert sum(planned) == 1
    assert len(runs_of(search)) == 8


#: Trials are told of one after the other, and none waits for another.
ALONE = {"rule": "asynchronous"}


@pytest.mark.parametrize("total", [16, 63, 100, 101.5, 240])
def test_search_and_confirmation_together_stay_within_total_epochs(database, total):
    search = searched(database, VALUES, budget={"epochs": total}, pruning=ALONE)
    with database.read() as connection:
        assert not search.may_start(connection)
        used = studies.by_id(connection, search.study_id).epochs_used
    kept = EPOCHS * reserved_runs(search.spec, EPOCHS)
    assert total - kept - EPOCHS < used <= total - kept
    while confirmation.advance(search):
        end_runs(search)
    with database.read() as connection:
        row = studies.by_id(connection, search.study_id)
    assert row.epochs_used == used + EPOCHS * len(runs_of(search)) <= total
    assert len(runs_of(search)) * EPOCHS <= kept <= 0.25 * total


def test_a_share_that_is_no_round_number_costs_no_trial(database):
    """39 x (1 - 9 / 39) is less than 30."""
    search = searched(database, [1.0] * 39, epochs=1, budget={"epochs": 39})
    with database.read() as connection:
        assert len(trials.everything(connection, search.study_id)) == 30


# Asked for by hand


def hours_of(database):
    with database.read() as connection:
        return projects.used_hours(connection, DEFAULT_PROJECT)


@pytest.mark.both_databases
def test_a_confirmation_of_another_size_is_planned_anew(database):
    search = searched(database, VALUES)
    while confirmation.advance(search):
        end_runs(search, jitter)
    before, hours = runs_of(search), hours_of(database)
    confirmation.request(search, top=5, runs=12)
    assert runs_of(search) == []
    assert hours_of(database) == hours > 0  # a quota counts what was trained
    again = OpenStudy.open(database, search.name)
    while confirmation.advance(again):
        end_runs(again, jitter)
    runs = runs_of(again)
    assert (len(before), len(runs)) == (15, 12)
    assert len({r.number for r in runs if r.round == "choose"}) == 4
    confirmation.request(again, top=5, runs=12)  # the same again is there already
    assert runs_of(again) == runs


def test_a_confirmation_is_not_given_up_for_one_that_its_epochs_do_not_pay_for(database):
    search = searched(database, VALUES, budget={"epochs": 160}, pruning=ALONE)
    while confirmation.advance(search):
        end_runs(search, jitter)
    before = runs_of(search)
    assert len(before) == 10
    with pytest.raises(StudyError, match=r"--runs 5: .*budget's epochs is enough for 0"):
        confirmation.request(search, top=None, runs=5)
    assert runs_of(search) == before


#: In every transaction; who locks otherwise may wait for another who waits for it.
LOCK_ORDER = ["lr_range_test", "lr_confirm", "lr_trial", "lr_study", "lr_lease", "lr_project"]


@contextmanager
def locked_tables(database):
    """Our tables in the order in which a transaction first locks rows of them."""
    found = []

    def look(connection, cursor, statement, *rest):
        if statement.startswith(("UPDATE", "DELETE")) or "FOR UPDATE" in statement:
            table = re.search(r"lr_[a-z_]+", statement)[0]
            found.extend([table] if table not in found else [])

    event.listen(database.engine, "before_cursor_execute", look)
    yield found
    event.remove(database.engine, "before_cursor_execute", look)
    assert found == [table for table in LOCK_ORDER if table in found]


@pytest.mark.both_databases
def test_rows_are_locked_in_one_order(database):
    search = searched(database, VALUES)
    test = PlannedTest(optimizer="adamw", seeds=1, epochs_reserved=2.0)
    end = End(state=TrialState.FAILED, epochs=1.0, seconds=1.0)
    with database.begin() as connection:
        range_tests.add(connection, search.study_id, [test])
    assert confirmation.advance(search)
    for queries in (range_tests, confirmations):
        with locked_tables(database), database.begin() as connection:
            row = queries.claim(connection, search.study_id, "host:1:1", LEASE)
        with locked_tables(database) as found, database.begin() as connection:
            assert queries.record(connection, row, end)
        assert found[1:] == ["lr_study", "lr_lease"]
    with locked_tables(database):
        confirmation.request(search, top=3, runs=15)


def test_more_than_a_quarter_is_refused(database):
    search = searched(database, VALUES)
    with pytest.raises(StudyError, match="--runs 16: the budget allows at most 15 runs"):
        confirmation.request(search, top=None, runs=16)
    assert runs_of(search) == []


def test_a_study_that_is_too_small_to_confirm_says_so(database):
    search = searched(database, [1.0, 2.0, 3.0])
    with pytest.raises(StudyError, match="at most 0"):
        confirmation.request(search, top=None, runs=None)


def test_a_study_without_a_complete_trial_cannot_be_confirmed(database):
    search = searched(database, [None] * 12)
    with pytest.raises(StudyError, match="no complete trial"):
        confirmation.request(search, top=None, runs=1)


# With real training


def test_a_worker_confirms_what_it_has_searched(tmp_path):
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        baseline = {"optimizer": {"name": "sgd", "lr": 0.001}}
        search = make_study(database, budget={"trials": 36}, epochs=1, baseline=baseline)
        work(search)
        result, runs = summarize(search), runs_of(search)
    assert result["state"] == "finished"
    assert result["counts"]["running"] == 0
    assert {r.state for r in runs} <= {"complete", "diverged"}
    assert len(runs) == 8  # of 9 allowed; the report's 5 are 2 for each and 1 left
    assert result["epochs"]["confirm"] == sum(r.epochs for r in runs)
    assert result["epochs"]["confirm"] <= 0.25 * 36
    winner, second = result["confirmed"]
    assert (second["role"], second["trial"]) == ("baseline", 0)
    values = [r.value for r in runs if r.role == "winner"]
    assert winner["mean"] == pytest.approx(fmean(values))
    assert winner["mean"] < second["mean"]
    # Other seeds, other values: they were trained, not copied.
    assert len({r.value for r in runs}) == len(runs)
    assert result["best"]["value"] not in values


def test_a_confirmation_on_a_seed_is_the_run_that_a_study_with_that_seed_makes(tmp_path):
    """A run's recipe, with its seed, trained as the enqueued trial of another study."""
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        search = make_study(database, budget={"trials": 4}, enqueue=[RECIPE])
        work(search)
        (only,) = runs_of(search)
        with database.read() as connection:
            recipe = trials.by_number(connection, search.study_id, only.number).recipe
        fields = {key: recipe[key] for key in ("optimizer", "schedule", "warmup")}
        other = make_study(
            database,
            name="other",
            seed=only.seed,
            budget={"trials": 1},
            confirm="none",
            enqueue=[fields],
        )
        work(other)
        assert summarize(other)["best"]["value"] == only.value


def test_the_confirmed_is_what_the_study_is_asked_for(database):
    """`study show` puts the confirmed first, also where the search ranked another one best."""
    search = searched(database, VALUES)
    while confirmation.advance(search):
        end_runs(search, lambda r: 1.0 + (r.number != 7))
    result = summarize(search)
    assert result["best"]["trial"] == 1
    assert [item["trial"] for item in result["confirmed"]] == [7]


def test_a_run_that_breaks_midway_or_takes_too_long_has_no_value(database, monkeypatch):
    search = make_study(database, budget={"trials": 4}, confirm={"top": 1})
    work(search)
    with database.begin() as connection:
        runs = confirmations.everything(connection, search.study_id)
        numbers = {run.number for run in runs}
        confirmations.clear(connection, search.study_id)
    validate, seen = SoloTraining.validate, []

    def breaks(training, **options):
        seen.append(training)
        if len(seen) == 4:
            raise RuntimeError("metric broke")
        return validate(training, **options)

    monkeypatch.setattr(SoloTraining, "validate", breaks)
    work(search)
    with database.read() as connection:
        runs = confirmations.everything(connection, search.study_id)
    assert {run.number for run in runs} == numbers
    (run,) = (run for run in runs if run.state == "failed")
    assert (run.value, run.metrics) == (None, None)
    assert run.reason == "RuntimeError: metric broke"


def test_a_trial_that_trains_longer_than_max_trial_time_has_failed(database):
    search = make_study(database, budget={"trials": 2}, confirm="none", max_trial_time=1e-6)
    work(search)
    rows = trial_rows(search)
    assert [row["state"] for row in rows] == ["failed", "failed"]
    assert {row["reason"] for row in rows} == {"it trained longer than max_trial_time, 1e-06 s"}
