"""A planned search: trials wait at rungs, and the best of all that wait go on, whoever asks."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from optuna.trial import TrialState as OptunaState
from side_by_side import calm_task, train_together
from tiny_studies import (
    EPOCHS,
    ask,
    curve_row,
    ended,
    make_study,
    tiny_spec,
    tiny_task,
    work,
    worker_of,
)

from lrsearch.advice.cost import cost_plan
from lrsearch.confirmation.search_plan import search_plan
from lrsearch.errors import StudyError
from lrsearch.report.text.plan import plan_text
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import curves, leases, machine_failures, studies, trials, waiting
from lrsearch.study.assignment import Arrival, Verdict
from lrsearch.study.create import create_study
from lrsearch.study.extend import extend_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.repair import repair
from lrsearch.study.standings import Standings
from lrsearch.study.status import is_finished
from lrsearch.study.trial_commands import stop
from lrsearch.trial.states import StudyState, TrialState

PLANNED = {
    "pruning": {"rungs": [0.15, 0.4], "rule": "planned"},
    "budget": {"runs": 10},
    "confirm": "none",
}
#: Epochs at the rungs and at the end, and trials that each stage pays for: of 40 epochs 12, 12, 16.
ENDS, SEATS = (0.5, 1.5, 4.0), (24, 12, 6)
#: Number of the validation at each rung.
VALIDATIONS = (1, 3)


def planned(database, **changes):
    return make_study(database, **{**PLANNED, **changes})


def signal(number, rung):
    """What a trial shows, whoever trains it and when."""
    return random.Random(f"{number} {rung}").random()


def arrive(search, assignment, rung, loss=None):
    loss = signal(assignment.number, rung) if loss is None else loss
    first = VALIDATIONS[rung - 1] if rung else 0
    rows = [curve_row(i, val_loss=loss) for i in range(first + 1, VALIDATIONS[rung] + 1)]
    arrival = Arrival(
        assignment=assignment, rung=rung, signal=loss, value=loss, validation=rows[-1].validation,
        epochs=rows[-1].epoch, seconds=rows[-1].seconds, rows=rows,
    )  # fmt: skip
    return search.pass_rungs([arrival])[0]


def rows_of(search):
    with search.database.read() as connection:
        return trials.everything(connection, search.study_id)


def counts(search):
    with search.database.read() as connection:
        found = studies.counts(connection, search.study_id)
    return {state: count for state, count in found.items() if count}


def budget(search):
    with search.database.read() as connection:
        return studies.by_id(connection, search.study_id)


def train(search, workers, seed=0, *, diverging=()):
    """Work on the study as so many workers do, whose trainings take any time; who trained where."""
    chance, held, stages = random.Random(seed), [], []
    while True:
        while len(held) < workers and (given := ask(search, f"host:1:{len(stages)}")) is not None:
            with search.database.read() as connection:
                stage = len(VALIDATIONS[: len(curves.of_trial(connection, given.claim.id))])
            stages.append((given.number, min(stage, 2)))
            held.append((given, min(stage, 2)))
        if not held:
            return stages
        given, stage = held.pop(chance.randrange(len(held)))
        if (given.number, stage) in diverging:
            start = [0.0, *ENDS][stage]
            assert search.tell(given, ended(TrialState.DIVERGED, epochs=start + 0.25))
        elif stage == len(VALIDATIONS):
            rows = [curve_row(i, val_loss=0.5) for i in range(4, 9)]
            assert search.tell(given, ended(TrialState.COMPLETE, epochs=float(EPOCHS)), rows)
        else:
            assert arrive(search, given, stage) == Verdict.WAITS


def best_of(numbers, rung, count):
    return sorted(numbers, key=lambda number: signal(number, rung))[:count]


@pytest.mark.both_databases
@pytest.mark.parametrize("workers", [1, 2, 6])
def test_the_best_of_all_go_on_however_many_workers_there_are(database, workers):
    search = planned(database)
    trained = train(search, workers, seed=workers)
    second = best_of(range(SEATS[0]), 0, SEATS[1])
    third = best_of(second, 1, SEATS[2])
    assert sorted(trained) == sorted(
        [(n, 0) for n in range(SEATS[0])] + [(n, 1) for n in second] + [(n, 2) for n in third]
    )
    assert is_finished(search)
    rows = rows_of(search)
    assert {row.number for row in rows if row.state == "complete"} == set(third)
    assert {row.state for row in rows} == {"complete", "pruned"}
    row = budget(search)
    assert (row.epochs_used, row.epochs_reserved) == (12 + 12 + 15, 0)
    assert repair(search).wrong == repair(search).done == []
    states = [trial.state for trial in search.all_trials()]
    assert states.count(OptunaState.COMPLETE) == SEATS[2]
    assert states.count(OptunaState.PRUNED) == SEATS[0] - SEATS[2]


@pytest.mark.parametrize("workers", [1, 4])
def test_what_diverges_makes_room_for_others(database, workers):
    """Three at the start of their first stage and two in their second, half a stage spared each."""
    search = planned(database)
    early = {(number, 0) for number in (0, 1, 2)}
    second = best_of([n for n in range(25) if n > 2], 0, 13)
    late = {(number, 1) for number in second[:2]}
    trained = train(search, workers, seed=5, diverging=early | late)
    assert sum(stage == 0 for _, stage in trained) == 25  # 24 x .5 less 3 x .25, and one for these
    assert {number for number, stage in trained if stage == 1} == set(second)
    used = budget(search).epochs_used
    assert used <= 40
    assert 40 - used < 2.5


def train_whole(search, given):
    """Train a trial that stands beside the plan to its end."""
    assert [arrive(search, given, rung) for rung in (0, 1)] == [Verdict.GOES_ON] * 2
    rows = [curve_row(i, val_loss=0.5) for i in range(4, 9)]
    assert search.tell(given, ended(TrialState.COMPLETE, epochs=float(EPOCHS)), rows)


#: The portfolio beside the plan has half of ten runs, and 20 epochs are left to share out: 6, 6, 8.
BESIDE, SEATS_BESIDE = 5, (12, 6, 3)


@pytest.mark.both_databases
@pytest.mark.parametrize("workers", [1, 2, 6])
@pytest.mark.parametrize("diverges", [False, True])
def test_a_portfolio_beside_the_plan_is_trained_whole(database, workers, diverges):
    """What one of it leaves over when it diverges pays for a sampled trial's last stage."""
    search = planned(database, portfolio=7)
    first = [ask(search, f"host:2:{i}") for i in range(BESIDE)]
    assert [given.kind for given in first] == ["portfolio"] * BESIDE
    early, *others = first
    for given in others[2:]:
        train_whole(search, given)
    if not diverges:
        train_whole(search, early)
    # Sampled trials go on while two of the portfolio, and one that will diverge, are in training.
    trained = train(search, workers, seed=workers)
    if diverges:
        assert search.tell(early, ended(TrialState.DIVERGED, epochs=1.25))
    for given in others[:2]:
        train_whole(search, given)
    trained += train(search, workers, seed=workers)
    sampled = range(BESIDE, BESIDE + SEATS_BESIDE[0])
    second = best_of(sampled, 0, SEATS_BESIDE[1])
    third = best_of(second, 1, SEATS_BESIDE[2] + diverges)
    assert sorted(trained) == sorted(
        [(n, 0) for n in sampled] + [(n, 1) for n in second] + [(n, 2) for n in third]
    )
    assert is_finished(search)
    spared = EPOCHS - 1.25 if diverges else 0
    row = budget(search)
    assert row.epochs_used == 4 * BESIDE - spared + 6 + 6 + 2.5 * len(third)
    assert row.epochs_reserved == 0
    assert repair(search).wrong == []


def test_a_plan_beside_the_portfolio_is_said_before_the_start():
    spec = tiny_spec(**PLANNED, portfolio=7)
    lines = plan_text(spec, cost_plan(spec, 6)).splitlines()
    assert "first: 5 recipes of the portfolio, to the end, about 20 epochs" in lines
    assert "then: about 12 recipes that the sampler draws, about 20 epochs" in lines
    assert (
        "rungs: about 12 sampled trials wait at 12 %; the best 6 go on to 38 %, 3 to the end"
        in lines
    )


def test_a_trial_that_waits_holds_nothing_and_counts_what_it_has_trained(database):
    search = planned(database)
    given = ask(search)
    assert arrive(search, given, 0) == Verdict.WAITS
    assert arrive(search, given, 0) == Verdict.WAITS  # asked again after a lost acknowledgement
    [row] = rows_of(search)
    assert (row.state, row.worker, row.epochs) == ("waiting", "host:1:1", 0.5)
    assert (budget(search).epochs_used, budget(search).epochs_reserved) == (0.5, 0.0)
    with search.database.begin() as connection:
        assert leases.holders(connection, search.study_id) == []
        assert not leases.renew(connection, [given.claim], 30.0)
    assert [trial.state for trial in search.all_trials()] == [OptunaState.RUNNING]
    assert not is_finished(search)
    assert repair(search).wrong == repair(search).done == []


def test_the_sampler_learns_from_what_waits(database, monkeypatch):
    for gate in ("", "public"):
        monkeypatch.setenv("LRSEARCH_OPTUNA", gate)
        search = planned(database, name=f"seen{gate}")
        for _ in range(3):
            arrive(search, ask(search), 0)
        running = ask(search)
        other = OpenStudy.open(database, search.name)
        with database.read() as connection:
            other._view.take_in(other._view.read(connection))
        seen = other._view.trials(but=running.trial_id)
        assert [trial.state for trial in seen] == [OptunaState.PRUNED] * 3
        last = [list(trial.intermediate_values.values()) for trial in seen]
        assert last == [[pytest.approx(signal(number, 0))] for number in range(3)]


def test_a_trial_without_its_checkpoint_does_not_wait_twice_at_a_rung(database):
    search = planned(database)
    train_to = [arrive(search, ask(search), 0) for _ in range(24)]
    assert set(train_to) == {Verdict.WAITS}
    again = ask(search)  # from the start, as there is no checkpoint
    assert again.number == best_of(range(24), 0, 1)[0]
    assert arrive(search, again, 0) == Verdict.GOES_ON
    assert arrive(search, again, 1) == Verdict.WAITS


def test_a_lost_trial_is_taken_over_before_any_other_goes_on(database):
    search = planned(database)
    first = ask(search)
    with search.database.begin() as connection:
        leases.release(connection, search.study_id, ["host:1:1"])
    assert arrive(search, first, 0) == Verdict.LOST
    second = ask(search, "host:1:2")
    assert (second.number, second.claim.attempt) == (first.number, 2)
    assert arrive(search, second, 0) == Verdict.WAITS


def test_a_pause_lets_trials_wait_and_a_stop_ends_them(database):
    search = planned(database)
    for _ in range(4):
        arrive(search, ask(search), 0)
    for state, left in ((StudyState.PAUSED, {"waiting": 4}), (StudyState.STOPPED, {"pruned": 4})):
        with database.begin() as connection:
            studies.set_state(connection, search.study_id, state)
        assert ask(search) is None
        assert counts(search) == left
    assert is_finished(search)


def test_a_trial_that_waits_can_be_stopped(database):
    search = planned(database)
    arrive(search, ask(search), 0)
    assert stop(search, 0) == "trial 0 is stopped"
    [row] = rows_of(search)
    assert (row.state, row.reason) == ("pruned", "stopped by lrsearch trial stop")
    assert (budget(search).epochs_used, budget(search).epochs_reserved) == (0.5, 0.0)


def test_a_study_whose_trials_wait_is_not_moved_to_another_space(database):
    search = planned(database)
    arrive(search, ask(search), 0)
    wider = tiny_spec(**PLANNED, enqueue=[], range_test="none", portfolio=1)
    with pytest.raises(StudyError, match="while 1 of its trials wait at rungs; let it end"):
        extend_study(search, wider, tiny_task(), steps_per_epoch=search.steps_per_epoch)
    assert counts(search) == {"waiting": 1}


@pytest.mark.parametrize("begun", [9, 10])
@pytest.mark.parametrize("is_over", [False, True])
def test_more_budget_is_shared_out_with_what_was_trained_before(database, begun, is_over):
    """Nine runs are no plan yet; while trials wait, a plan grows."""
    search = planned(database, budget={"runs": begun})
    if is_over and begun == 10:
        train(search, 2)
        assert counts(search) == {"complete": SEATS[2], "pruned": SEATS[0] - SEATS[2]}
    elif is_over:
        work(search)
    elif begun == 10:
        assert {arrive(search, ask(search), 0) for _ in range(5)} == {Verdict.WAITS}
    spec = tiny_spec(**{**PLANNED, "budget": {"runs": 20}})
    again, is_new = create_study(database, spec, tiny_task(), steps_per_epoch=6, exist_ok=True)
    assert not is_new
    train(again, 3)
    assert is_finished(again)
    assert 0 <= 80 - budget(again).epochs_used < 2.5
    found = counts(again)
    if (begun, is_over) == (9, True):
        assert set(found) <= {"complete", "pruned", "diverged"}
    else:
        assert found == {"complete": 12, "pruned": 36}


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": {"trials": 20}},
        {"budget": {"time": 60}},
        {"budget": {"runs": 20, "trials": 20}},
        {"budget": {"runs": 20, "time": 60}},
        {"budget": {"runs": 9}},
        {"pruning": "none"},
        {"pruning": {"rule": "asynchronous", "rungs": [0.15]}},
    ],
)
def test_other_studies_have_no_plan(changes):
    spec = tiny_spec(**{**PLANNED, **changes})
    assert search_plan(spec, 6, range_test_epochs=0.0, portfolio=0) is None


@pytest.mark.parametrize(
    ("runs", "line"),
    [
        (10, "rungs: about 24 trials wait at 12 %; the best 12 go on to 38 %, 6 to the end"),
        (20, "rungs: about 48 trials wait at 12 %; the best 24 go on to 38 %, 12 to the end"),
        (9, "rungs: trials do not wait for each other: the budget pays for fewer than 10 runs"),
    ],
)
def test_the_plan_is_said_before_the_start(runs, line):
    spec = tiny_spec(**{**PLANNED, "budget": {"runs": runs}})
    assert line in plan_text(spec, cost_plan(spec, 6))
    asynchronous = plan_text(tiny_spec(), cost_plan(tiny_spec(), 6))
    assert "wait" not in asynchronous


def test_a_scripts_trials_do_not_wait():
    fields = {"name": "own", "train": "loop.py:train", "epochs": EPOCHS, **PLANNED}
    assert search_plan(StudySpec.from_dict(fields), 6, range_test_epochs=0.0, portfolio=0) is None


def test_the_plan_leaves_range_tests_the_baseline_and_confirmation_out():
    shown = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "constant"}}
    spec = tiny_spec(**{**PLANNED, "confirm": "auto", "baseline": shown})
    plan = search_plan(spec, 6, range_test_epochs=2.0, portfolio=0)
    assert sum(stage.share for stage in plan.stages) == pytest.approx(40 * 0.6 - 2 - 4)
    assert [stage.cost for stage in plan.stages] == [0.5, 1.0, 2.5]


def test_trials_that_waited_end_with_the_same_bits(database, tmp_path):
    """Every complete trial of a planned search, beside the same recipes trained in one go."""
    search = planned(database, checkpoints=str(tmp_path / "kept"))
    work(search)
    assert counts(search)["complete"] == SEATS[2]
    best = [row for row in rows_of(search) if row.state == "complete"]
    assert {row.attempt for row in best} == {3}  # two rungs
    whole = make_study(
        database,
        name="whole",
        pruning={**PLANNED["pruning"], "rule": "asynchronous", "min_peers": 1000},
        confirm="none",
        budget={"trials": len(best)},
        enqueue=[row.recipe for row in best],
    )
    work(whole)
    for number, row in enumerate(best):
        assert (whole_rows := curve_of(whole, number))
        assert curve_of(search, row.number) == whole_rows
    assert not list((tmp_path / "kept").rglob("*.pt"))


@pytest.mark.parametrize("size", [3])
def test_a_cohort_lets_its_trials_wait_and_takes_others(database, tmp_path, size, monkeypatch):
    """Beside one at a time; an engine of several places that is equal to solo to the last bit."""
    from lrsearch.worker.tasks import choose_engine
    from lrsearch.worker.training_loop import job_trainer

    monkeypatch.setattr(choose_engine, "choose", None)  # put back what `train_together` sets
    monkeypatch.setattr(job_trainer, "engine_for", None)
    found = []
    for places in (1, size):
        # Drawn by random numbers of their own: recipes do not depend on who trained before.
        search = planned(
            database,
            name=f"of-{places}",
            checkpoints=str(tmp_path / f"{places}"),
            enqueue=[sgd(number) for number in range(SEATS[0])],
        )
        train_together(places)
        worker_of(search, calm_task()).run()
        assert (budget(search).epochs_used, budget(search).epochs_reserved) == (12 + 12 + 15, 0)
        rows = rows_of(search)
        found.append([(row.number, row.state, curve_of(search, row.number)) for row in rows])
    assert found[0] == found[1]


def sgd(number):
    optimizer = {"name": "sgd", "lr": 0.003 * 1.2**number, "momentum": 0.9, "nesterov": False}
    return {"optimizer": optimizer, "schedule": {"name": "cosine"}}


def curve_of(search, number):
    """Everything but times."""
    with search.database.read() as connection:
        trial = trials.by_number(connection, search.study_id, number)
        rows = curves.of_trial(connection, trial.id)
    return [replace(row, trial=0, attempt=0, number=0, seconds=0.0) for row in rows]


def test_a_worker_that_keeps_the_standings_knows_what_one_knows_that_reads_them_all(database):
    """Of two workers each reads what the other has done; some trials fail for their machine."""
    search = planned(database, budget={"runs": 10})
    workers = (search, OpenStudy.open(database, search.name))
    kept, failed, visits = Standings(search.study_id), [], Counter()
    for turn in range(45):
        worker = workers[turn % 2]
        if (assignment := ask(worker)) is None:
            break
        rung = visits[assignment.number]
        visits[assignment.number] += 1
        if turn % 11 == 3:
            worker.tell(assignment, ended(TrialState.FAILED, reason="no memory"))
            failed.append(assignment.claim.id)
        elif rung < len(VALIDATIONS) and turn % 5:
            assert arrive(worker, assignment, rung) == Verdict.WAITS
        if turn == 20:
            with database.begin() as connection:
                assert machine_failures.give_back(connection, search.study_id, failed) == 2
        with database.begin() as connection:
            everything = waiting.standings(connection, search.study_id)
            assert sorted(kept.read(connection), key=lambda row: row.ticket) == list(everything)
        kept.take_in()
    assert turn > 20
    assert max(visits.values()) > 1
