"""A study that is given another space keeps its trials, on SQLite and on PostgreSQL."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from processes import finish, in_process
from sampler_params import sampler_params
from sqlalchemy import select, update
from tiny_studies import (
    LEASE,
    STEPS_PER_EPOCH,
    TASKS,
    ask,
    curve_row,
    ended,
    make_study,
    opened,
    passes_rung,
    tiny_spec,
    tiny_task,
    work,
)

from lrsearch.errors import StudyError
from lrsearch.report import files
from lrsearch.report.summary import curve_rows, summarize, trial_rows
from lrsearch.spec.parts import ValidateEvery
from lrsearch.storage import (
    claims,
    curves,
    projects,
    range_tests,
    studies,
    take_over_trials,
    trials,
)
from lrsearch.storage.ends import End, RangeTestEnd
from lrsearch.storage.leases import Claim
from lrsearch.storage.postgresql import SERVER_SETTINGS
from lrsearch.storage.tables import queue as queue_table
from lrsearch.storage.tables import rungs as rung_table
from lrsearch.storage.tables import trials as trial_table
from lrsearch.study.create import create_study
from lrsearch.study.enqueue import enqueue
from lrsearch.study.extend import extend_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna import encoding
from lrsearch.study.optuna.private.table_writer import TableWriter
from lrsearch.study.prepare_database import prepare
from lrsearch.task.find import load_task
from lrsearch.trial.states import StudyState, TrialState

SPACE = {
    "optimizers": {
        "sgd": {
            "lr": {"low": 1e-3, "high": 10.0, "log": True},
            "momentum": 0.9,
            "nesterov": [True, False],
        },
        "adamw": {},
    },
    "schedules": {"constant": {}, "cosine": {}, "one_cycle": {}},
}
#: More optimizers and schedules, and ranges that hold the old ones.
WIDER = {
    "optimizers": {
        "sgd": {
            "lr": {"low": 1e-4, "high": 50.0, "log": True},
            "momentum": {"low": 0.0, "high": 0.99},
            "nesterov": [True, False],
        },
        "adamw": {"lr": {"low": 1e-6, "high": 1.0, "log": True}},
        "adagrad": {},
    },
    "schedules": {**SPACE["schedules"], "linear": {}},
}
ONLY_SGD = {**SPACE, "optimizers": {"sgd": SPACE["optimizers"]["sgd"]}}
#: In no space here.
ODD = {"optimizer": {"name": "rmsprop", "lr": 0.1}, "schedule": {"name": "constant"}}


def extend(search, **changes):
    spec = tiny_spec(**{"space": WIDER, **changes})
    return extend_study(search, spec, tiny_task(), steps_per_epoch=STEPS_PER_EPOCH)


def train(search, count, worker="host:1:1"):
    """Let trials run as if they were trained, with ends of all kinds."""
    for index in range(count):
        assignment = ask(search, worker)
        rows = [curve_row(i, val_loss=1 / (i + index)) for i in (1, 2)]
        with search.database.begin() as connection:
            curves.add(connection, assignment.claim, rows)
        passes_rung(search, assignment, rung=0, signal=index, value=float(index), validation=1)
        kinds = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED]
        state = kinds[index % 4]
        search.tell(assignment, ended(state, epochs=1.0 + index, progress=0.5))


def study_row(search, name="tiny"):
    with search.database.read() as connection:
        return studies.by_name(connection, name)


def names(database):
    with database.read() as connection:
        return [row.name for row in studies.everything(connection)]


def seen(search):
    """All that a reader sees of a study's trials."""
    search = OpenStudy.open(search.database, search.name)
    with search.database.read() as connection:
        mine = trials.everything(connection, search.study_id)
        numbers = {row.id: row.number for row in mine}
        query = select(rung_table).where(rung_table.c.study_id == search.study_id)
        signals = sorted(
            (numbers[row.trial], row.rung, row.value) for row in connection.execute(query)
        )
    rows, _ = curve_rows(search, number=None, all_attempts=True)
    keep = ("ticket", "worker", "started_at", "ended_at", "best_validation", "attempt")
    columns = [{key: getattr(row, key) for key in keep} for row in mine]
    return trial_rows(search), columns, rows, signals


def told(search):
    """What Optuna knows of each trial but for its parameters."""
    return [
        (
            trial.number,
            trial.state,
            trial.values,
            trial.intermediate_values,
            trial.constraints,
            trial.user_attrs,
            trial.datetime_start,
            trial.datetime_complete,
        )
        for trial in search.all_trials()
    ]


@pytest.fixture
def search(database):
    return make_study(database, space=SPACE)


@pytest.fixture
def lone(tmp_path):
    """The study on SQLite, for what no database could do differently."""
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        yield make_study(database, space=SPACE)


# Taking over


def test_a_study_that_is_long_in_encoding_is_extended(postgres, monkeypatch):
    from_here, encode = time.monotonic(), encoding.encode

    def slow(*arguments):
        time.sleep(max(0.0, from_here - time.monotonic()))
        return encode(*arguments)

    monkeypatch.setitem(SERVER_SETTINGS, "idle_in_transaction_session_timeout", "1s")
    name = postgres.create()
    with opened(postgres.url(name)) as database:
        prepare(database)
        search = make_study(database, space=SPACE)
        train(search, 2)
        from_here = time.monotonic() + 2
        monkeypatch.setattr(encoding, "encode", slow)
        assert extend(search).taken == 2
    postgres.drop(name)


@pytest.mark.both_databases
def test_a_wider_space_loses_nothing_of_a_study(search):
    train(search, 8)
    before, known = seen(search), told(search)
    done = extend(search)
    new = OpenStudy.open(search.database, "tiny")
    assert seen(new) == before
    assert told(new) == known
    assert (done.name, done.old, done.taken, done.left) == ("tiny", "tiny.1", 8, 0)
    for row, trial in zip(trial_rows(new), new.all_trials(), strict=True):
        assert sampler_params(trial) == new.spec.space.params_of(row["recipe"])
        optimizer = trial.distributions["optimizer"]
        assert optimizer.choices == ("sgd", "adamw", "adagrad")
    # The old one stays for whoever wants to look, and is closed.
    old = OpenStudy.open(search.database, "tiny.1")
    assert old.study_id == search.study_id
    assert (seen(old), told(old)) == (before, known)
    assert summarize(old)["state"] == "finished"
    assert names(search.database) == ["tiny.1", "tiny"]
    assert set(optuna.get_all_study_names(new.study._storage)) == {"tiny", "tiny.1"}


def test_what_an_extended_study_has_trained_counts_once_for_its_project(search):
    def hours():
        with search.database.read() as connection:
            return projects.used_hours(connection, "default")

    train(search, 8)
    before = hours()
    assert before > 0
    extend(search)
    assert hours() == pytest.approx(before)
    OpenStudy.open(search.database, "tiny.1").delete()
    assert hours() == pytest.approx(before)


def test_an_extended_study_goes_on_to_its_exact_budget(search):
    train(search, 4)
    extend(search, budget={"trials": 7})
    new = OpenStudy.open(search.database, "tiny")
    assert study_row(new).epochs_used == sum(1.0 + i for i in range(4))
    assignments = [ask(new) for _ in range(4)]
    assert [a and a.number for a in assignments] == [4, 5, 6, None]
    with new.database.read() as connection:
        tickets = [row.ticket for row in trials.everything(connection, new.study_id)]
    assert tickets == list(range(1, 8))
    assert [trial.number for trial in new.all_trials()] == list(range(7))
    assert [trial.user_attrs["lrsearch:ticket"] for trial in new.all_trials()] == tickets


def test_an_extended_study_is_worked_on_by_run_as_before(search):
    work(search)
    summary = summarize(search)
    assert summary["confirmed"]
    extend(search, budget={"trials": 15})
    spec = tiny_spec(space=WIDER, budget={"trials": 15})
    new, made = create_study(
        search.database, spec, tiny_task(), steps_per_epoch=STEPS_PER_EPOCH, exist_ok=True
    )
    assert not made
    assert summarize(new)["confirmed"] == []  # the best are confirmed anew
    work(new)
    rows = trial_rows(new)
    assert [row["trial"] for row in rows] == list(range(15))
    after = summarize(new)
    assert after["state"] == "finished"
    assert after["confirmed"]
    assert after["epochs"]["confirm"] > 0
    assert all(trial.state.is_finished() for trial in new.all_trials())
    assert summarize(OpenStudy.open(new.database, "tiny.1"))["confirmed"] == summary["confirmed"]


def test_samples_come_from_the_new_space_at_once(lone):
    train(lone, 12)
    extend(lone, budget={"trials": 32})
    optimizers = draw(OpenStudy.open(lone.database, "tiny"))
    assert set(optimizers) == {"sgd", "adamw", "adagrad"}
    assert optimizers[8:].count("adagrad") > 6  # the sampler has learned which is best


def draw(new):
    """The optimizers of the trials to come, where adagrad is the best."""
    found = []
    while assignment := ask(new):
        found.append(assignment.recipe)
        loss = 0.1 if assignment.recipe.optimizer["name"] == "adagrad" else 1.0
        with new.database.begin() as connection:
            curves.add(connection, assignment.claim, [curve_row(1, val_loss=loss)])
        new.tell(assignment, ended(TrialState.COMPLETE))
    return [recipe.optimizer["name"] for recipe in found]


def test_a_narrower_space_leaves_the_rest_behind_and_closes_the_gaps(search):
    train(search, 8)
    rows = trial_rows(search)
    inside = [row for row in rows if row["recipe"]["optimizer"]["name"] == "sgd"]
    assert 0 < len(inside) < 8
    done = extend(search, space=ONLY_SGD, budget={"trials": 6})
    assert (done.taken, done.left) == (len(inside), 8 - len(inside))
    new = OpenStudy.open(search.database, "tiny")
    kept = trial_rows(new)
    assert [{**row, "trial": 0} for row in kept] == [{**row, "trial": 0} for row in inside]
    assert [row["trial"] for row in kept] == list(range(len(inside)))
    row = study_row(new)
    assert row.trials_used == len(inside)
    assert row.epochs_used == sum(row["epochs"] for row in inside)
    assert new.origin["extended"] == {"study": "tiny.1", "taken": done.taken, "left": done.left}
    assert len([a for a in (ask(new) for _ in range(6)) if a]) == 6 - len(inside)
    assert len(trial_rows(OpenStudy.open(search.database, "tiny.1"))) == 8


def test_what_the_user_asked_for_goes_along_wherever_it_lies(database):
    search = make_study(database, space=SPACE, baseline=ODD)
    enqueue(search, {**ODD, "schedule": {"name": "linear"}}, where="recipe")
    train(search, 4)
    done = extend(search, space=ONLY_SGD, baseline=ODD)
    new = OpenStudy.open(database, "tiny")
    assert [row["kind"] for row in trial_rows(new)][:2] == ["baseline", "enqueued"]
    assert new.all_trials()[0].params == {}
    assert done.waiting == 0  # the baseline is there already
    again = extend(new, space=WIDER, baseline={**ODD, "warmup": 0.05})
    assert again.old == "tiny.2"
    assert again.waiting == 1
    newest = OpenStudy.open(database, "tiny")
    assert [row["kind"] for row in trial_rows(newest)][:2] == ["enqueued", "enqueued"]
    assert ask(newest).kind == "baseline"


def test_a_study_of_the_last_version_goes_on_and_is_extended(lone):
    """It knew no `accumulate`, no recipe was fused by itself, and rungs had no validations."""
    mine = {"space": SPACE, "baseline": {"optimizer": {"name": "sgd", "lr": 0.1}}}
    search = make_study(lone.database, name="old", **mine, validate_every="epoch")
    train(search, 3)
    enqueue(search, ODD, where="recipe")
    with search.database.begin() as connection:
        row = studies.by_name(connection, "old")
        definition = {k: v for k, v in row.definition.items() if k != "accumulate"}
        definition["validate_every"] = {"steps": None, "fraction": None}
        studies.change(connection, search.study_id, definition=definition)
        for table in (trial_table, queue_table):
            for id, recipe in connection.execute(select(table.c.id, table.c.recipe)).all():
                del recipe["accumulate"]
                recipe["optimizer"].pop("fused", None)
                connection.execute(update(table).values(recipe=recipe).where(table.c.id == id))
    mine["validate_every"] = "auto"
    spec, task = tiny_spec(name="old", **mine), tiny_task()
    again, new = create_study(
        search.database, spec, task, steps_per_epoch=STEPS_PER_EPOCH, exist_ok=True
    )
    assert not new
    assert study_row(again, "old").spec_hash == again.spec.hash()
    train(again, 2)
    assert trial_rows(again)[4]["recipe"]["optimizer"]["fused"] is True
    done = extend(again, name="old", baseline=mine["baseline"], validate_every="auto")
    assert (done.taken, done.left, done.waiting) == (5, 0, 0)
    assert OpenStudy.open(lone.database, "old").spec.validate_every == ValidateEvery()


def test_recipes_that_wait_move_along(lone):
    train(lone, 2)
    waiting = [{**ODD, "warmup": warmup} for warmup in (0.0, 0.05)]
    for recipe in waiting:
        enqueue(lone, recipe, where="recipe")
    done = extend(lone, enqueue=[{**ODD, "warmup": 0.1}, waiting[0]])
    assert done.waiting == 3
    new = OpenStudy.open(lone.database, "tiny")
    assert [ask(new).recipe.warmup for _ in range(3)] == [0.0, 0.05, 0.1]


def test_an_interrupted_trial_starts_anew_and_costs_nothing(search):
    train(search, 3)
    interrupted = ask(search)
    with search.database.begin() as connection:
        claims.release(connection, interrupted.claim)
    done = extend(search, budget={"trials": 4})
    assert (done.taken, done.interrupted, done.waiting) == (3, 1, 1)
    new = OpenStudy.open(search.database, "tiny")
    again = ask(new)
    assert again.recipe.to_dict() == {**interrupted.recipe.to_dict()}
    assert (again.number, again.kind, again.claim.attempt) == (3, "sampled", 1)
    assert ask(new) is None
    old = OpenStudy.open(search.database, "tiny.1")
    assert "starts anew in study tiny" in trial_rows(old)[3]["reason"]
    row = study_row(old, "tiny.1")
    assert (row.epochs_reserved, row.state) == (0.0, StudyState.STOPPED)


def test_a_file_of_another_name_makes_a_study_beside_the_old_one(search):
    train(search, 4)
    before, row = seen(search), study_row(search)
    done = extend(search, name="wide")
    assert (done.name, done.old, done.taken) == ("wide", "tiny", 4)
    assert study_row(search) == row
    assert seen(search) == before == seen(OpenStudy.open(search.database, "wide"))
    assert ask(search).number == 4  # it goes on by itself
    finished = ask(search)
    search.tell(finished, ended(TrialState.COMPLETE))


def test_a_param_that_is_searched_from_now_on_had_its_default_before(lone, tmp_path):
    loaded = load_task("sized.py:task", TASKS)

    def spec_of(params):
        space = {**SPACE, "params": params}
        return tiny_spec(name="sized", task="sized.py:task", space=space, confirm="none")

    spec = spec_of({"batch_size": [8, 16]})
    search, _ = create_study(lone.database, spec, loaded, steps_per_epoch=6, exist_ok=False)
    for _ in range(3):
        assignment = search.ask("host:1:1", lambda params: params["batch_size"])
        with lone.database.begin() as connection:
            curves.add(connection, assignment.claim, [curve_row(1)])
        search.tell(assignment, ended(TrialState.COMPLETE))
    dropout = {"low": 0.0, "high": 0.3}
    wider = spec_of({"batch_size": [8, 16, 32], "dropout": dropout})
    assert extend_study(search, wider, loaded, steps_per_epoch=6).taken == 3
    new = OpenStudy.open(lone.database, "sized")
    assert {trial.params["params.dropout"] for trial in new.all_trials()} == {0.1}
    for mine, theirs in zip(new.all_trials(), search.all_trials(), strict=True):
        assert mine.params.keys() == {*theirs.params, "params.dropout"}
    files.write_files(new, tmp_path / "report")
    other = spec_of({"batch_size": [8, 16], "dropout": {**dropout, "low": 0.2}})
    assert extend_study(new, other, loaded, steps_per_epoch=6).left == 3


def test_a_range_test_is_kept_where_it_would_be_the_same(search):
    def extend_to(search, optimizers):
        space = {**SPACE, "optimizers": optimizers}
        extend(search, space=space, range_test="auto", budget={"trials": 2000})
        return OpenStudy.open(search.database, "tiny")

    def tests_of(study):
        with study.database.read() as connection:
            rows = range_tests.everything(connection, study.study_id)
        return {row.optimizer: (row.state, row.epochs) for row in rows}

    sgd = SPACE["optimizers"]["sgd"]
    # The middle of its rates lies lower, and so does the start of its ramp.
    wide = {**WIDER["optimizers"]["sgd"], "lr": {"low": 1e-6, "high": 1e-2, "log": True}}
    first = extend_to(search, {"sgd": sgd, "adamw": {}})
    assert tests_of(first) == {"sgd": ("waiting", 0.0), "adamw": ("waiting", 0.0)}
    assert study_row(first).epochs_reserved > 0
    for name in ("sgd", "adamw"):
        with first.database.begin() as connection:
            test = range_tests.claim(connection, first.study_id, "host:1:1", LEASE)
            assert test.optimizer == name
        with pytest.raises(StudyError, match="while 1 range test runs"):
            extend_to(first, {"sgd": wide, "adamw": {}})
        with first.database.begin() as connection:
            ending = RangeTestEnd(state=TrialState.COMPLETE, epochs=3.0, seconds=0.0, result={})
            assert range_tests.record(connection, test, ending)
    second = extend_to(first, {"sgd": wide, "adamw": {}, "adagrad": {}})
    waiting = ("waiting", 0.0)
    assert tests_of(second) == {"adamw": ("complete", 3.0), "sgd": waiting, "adagrad": waiting}
    row = study_row(second)
    assert row.epochs_used == 3.0
    with search.database.read() as connection:
        rows = range_tests.everything(connection, second.study_id)
    planned = [row.epochs_reserved for row in rows if row.state == "waiting"]
    assert row.epochs_reserved == pytest.approx(sum(planned))
    assert tests_of(OpenStudy.open(search.database, "tiny.2"))["sgd"] == ("complete", 3.0)


def test_another_budget_alone_needs_no_successor(lone):
    train(lone, 2)
    done = extend(lone, space=SPACE, budget={"trials": 20})
    assert done.old is None
    assert names(lone.database) == ["tiny"]
    assert study_row(lone).trials_total == 20


# Refusing


OTHERS = [
    ({"epochs": 5}, "epochs: 4 -> 5"),
    ({"seed": 9}, "seed: 3 -> 9"),
    ({"clip_norm": 1.0}, "clip_norm: null -> 1.0"),
    ({"ema": "none"}, "ema: "),
    ({"precision": "bf16"}, "precision"),
    ({"accumulate": 2}, "accumulate: 1 -> 2"),
    ({"validate_every": "epoch"}, "validate_every.steps"),
    ({"objective": {"metric": "mae", "direction": "minimize"}}, "objective.metric"),
    ({"pruning": {"rungs": [0.2, 0.4], "min_peers": 3}}, "pruning.rungs"),
]


def test_what_makes_a_trial_another_one_is_refused(lone):
    for changes, line in OTHERS:
        with pytest.raises(StudyError, match=r"its trials would differ: ") as error:
            extend(lone, **changes)
        assert line in str(error.value)
        assert "warm_start: [tiny]" in str(error.value)
    assert names(lone.database) == ["tiny"]


@pytest.mark.both_databases
def test_a_study_whose_trials_run_is_refused_and_they_go_on(search):
    train(search, 2)
    running = [ask(search), ask(search)]
    with pytest.raises(StudyError, match=r"while 2 trials run; `lrsearch study pause tiny`"):
        extend(search)
    with pytest.raises(StudyError, match="while 2 trials run"):
        extend(search, name="beside")
    for assignment in running:
        assert search.tell(assignment, ended(TrialState.COMPLETE))
    assert extend(search).taken == 4


def test_a_name_that_is_taken_is_refused(search):
    make_study(search.database, name="other")
    with pytest.raises(StudyError, match="study 'other' exists already"):
        extend(search, name="other")
    optuna.create_study(study_name="plain", storage=search.study._storage)
    with pytest.raises(StudyError, match="'plain' is the name of a plain Optuna study"):
        extend(search, name="plain")


def test_running_a_changed_file_names_the_command_that_applies_it(lone):
    def run(**changes):
        create_study(
            lone.database,
            tiny_spec(**{"space": SPACE, **changes}),
            tiny_task(),
            steps_per_epoch=STEPS_PER_EPOCH,
            exist_ok=True,
        )

    with pytest.raises(StudyError, match=r"space\..*`lrsearch study extend tiny FILE` applies it"):
        run(space=WIDER)
    with pytest.raises(StudyError, match=r"epochs: 4 -> 5.* Use --name") as error:
        run(space=WIDER, epochs=5)
    assert "extend" not in str(error.value)


# Dying and racing


def die(*arguments, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)


#: Where the process that extends is killed, in the order of what it does.
POINTS = {
    "nothing written": (studies, "lock"),
    "old study renamed": (studies, "set_state"),
    "study made": (TableWriter, "insert_trials"),
    "trials copied": (take_over_trials, "_copy"),
    "all but the end": (studies, "queued"),
}


def extend_and_die(url, point):
    owner, name = POINTS[point]
    with opened(url) as database:
        search = OpenStudy.open(database, "tiny")
        setattr(owner, name, die)
        extend(search)


@pytest.mark.both_databases
def test_a_killed_extension_leaves_the_old_study_whole(search, prepared_url):
    train(search, 4)
    enqueue(search, ODD, where="recipe")
    before, known, row = seen(search), told(search), study_row(search)
    for point in POINTS:
        assert finish(in_process(extend_and_die, prepared_url, point)) == [-signal.SIGKILL], point
        assert seen(search) == before, point
        assert told(OpenStudy.open(search.database, "tiny")) == known, point
        assert study_row(search) == row, point
        assert optuna.get_all_study_names(search.study._storage) == ["tiny"], point
    done = extend(OpenStudy.open(search.database, "tiny"))
    assert (done.taken, done.old, done.waiting) == (4, "tiny.1", 1)
    assert seen(OpenStudy.open(search.database, "tiny")) == before


def extend_and_say(url, out):
    with opened(url) as database:
        try:
            out.write_text(f"made {extend(OpenStudy.open(database, 'tiny')).old}")
        except StudyError as error:
            out.write_text(str(error))


@pytest.mark.both_databases
def test_of_extensions_at_once_one_wins(search, prepared_url, tmp_path):
    train(search, 2)
    late = OpenStudy.open(search.database, "tiny")
    outs = [tmp_path / f"out-{i}" for i in range(3)]
    assert finish(*(in_process(extend_and_say, prepared_url, out) for out in outs)) == [0] * 3
    results = [out.read_text() for out in outs]
    assert results.count("made tiny.1") == 1
    # The others were too late, or found the study extended when they opened it.
    lost = "study 'tiny' was extended, and is 'tiny.1' now: another process was quicker"
    assert set(results) <= {"made tiny.1", lost, "made None"}
    with pytest.raises(StudyError, match=lost):
        extend(late)
    assert names(search.database) == ["tiny.1", "tiny"]
    assert len(trial_rows(OpenStudy.open(search.database, "tiny"))) == 2


@pytest.mark.both_databases
def test_an_extension_waits_for_a_trial_that_ends_and_disturbs_it_not(search):
    """The trial's row is written, the study's is not yet: each must not wait for the other."""
    train(search, 2)
    assignment = ask(search)
    with ThreadPoolExecutor(1) as thread:
        with search.database.begin() as connection:
            mine = trial_table.c.id == assignment.claim.id
            connection.execute(update(trial_table).where(mine).values(seconds=5.0))
            extension = thread.submit(extend, OpenStudy.open(search.database, "tiny"))
            time.sleep(0.3)  # it has come to its first lock
            studies.change(connection, search.study_id, epochs_used=9.0)
        with pytest.raises(StudyError, match="while 1 trial runs"):
            extension.result()
    assert search.tell(assignment, ended(TrialState.COMPLETE))
    assert extend(search).taken == 3


def test_a_worker_of_the_old_study_ends_in_order(search):
    """It waited, paused, while the study was extended."""
    train(search, 2)
    with search.database.begin() as connection:
        studies.set_state(connection, search.study_id, StudyState.PAUSED)
    extend(OpenStudy.open(search.database, "tiny"))
    work(search)  # ends at once: it trains nothing, and confirms nothing
    assert len(trial_rows(search)) == 2
    with search.database.read() as connection:
        assert studies.epochs(connection, search.study_id)["confirm"] == 0
    assert ask(search) is None


def test_a_param_that_is_searched_no_more_leaves_other_values_behind(lone):
    """The tiny task takes no params, so what was trained with some is of another task."""
    with lone.database.begin() as connection:
        enqueued = {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}}
        recipe = lone.spec.recipe({**enqueued, "params": {"width": 3}}, batch_size=16).to_dict()
        studies.enqueue(connection, lone.study_id, "portfolio", recipe)
    train(lone, 2)
    done = extend(lone)
    assert (done.taken, done.left) == (1, 1)


def test_a_trial_of_a_ticket_alone_is_no_obstacle(lone):
    train(lone, 2)
    with lone.database.begin() as connection:
        row = trials.start(connection, lone.study_id, "host:9:9", LEASE, horizon=4.0, keep=0.0)
        claim = Claim(id=row.id, attempt=1, worker="host:9:9")
        gone = End(state=TrialState.FAILED, reason="gone", epochs=0.0, seconds=0.0)
        assert trials.record(connection, claim, gone, horizon=4.0)
    assert extend(lone).taken == 2
    closed = OpenStudy.open(lone.database, "tiny.1")
    spec = tiny_spec(name="another", space=WIDER, warm_start=["tiny.1"])
    create_study(lone.database, spec, tiny_task(), steps_per_epoch=STEPS_PER_EPOCH, exist_ok=False)
    beside = tiny_spec(name="beside", space=WIDER)
    assert extend_study(closed, beside, tiny_task(), steps_per_epoch=STEPS_PER_EPOCH).taken == 2


def test_range_tests_of_an_extension_leave_its_last_trial(lone):
    train(lone, 4)  # 10 epochs
    budget = {"epochs": 8000}
    done = extend(lone, range_test="auto", budget=budget, confirm="none")
    assert done.taken == 4
    with lone.database.read() as connection:
        study = OpenStudy.open(lone.database, "tiny").study_id
        assert range_tests.everything(connection, study)
    with lone.database.begin() as connection:
        studies.change(connection, study, epochs_used=7994.0)
    wider = {**WIDER, "schedules": {**WIDER["schedules"], "step": {}}}
    again = OpenStudy.open(lone.database, "tiny")
    assert again.spec.range_test == "auto"
    with lone.database.begin() as connection:  # as if all of it had been trained
        connection.execute(
            update(trial_table).where(trial_table.c.study_id == study).values(epochs=1998.5)
        )
    extend(again, space=wider, range_test="auto", budget=budget, confirm="none")
    new = OpenStudy.open(lone.database, "tiny")
    with lone.database.read() as connection:
        assert range_tests.everything(connection, new.study_id) == []
    assert ask(new) is not None


def test_signals_at_rungs_do_not_outlive_the_rungs(lone):
    train(lone, 4)
    extend(lone, pruning="none")
    between = OpenStudy.open(lone.database, "tiny")
    assert seen(between)[3] == []
    extend(between, pruning={"rungs": [0.8]})
    assert seen(OpenStudy.open(lone.database, "tiny"))[3] == []
