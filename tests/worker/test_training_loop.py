"""A worker that trains several trials at once: who joins, who goes, what is left when it ends. What
comes out is what each trial alone would have given."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from processes import finish, in_process
from side_by_side import (
    POISON,
    SideBySide,
    calm_task,
    engine_for,
    is_poison,
    killing_loss,
    make_crew,
    raising_loss,
    train_together,
)
from sites import assert_exact, what_came_out
from tiny_studies import LEASE, STEPS_PER_EPOCH, make_study, opened, worker_of

from lrsearch.storage import checkpoints as saved
from lrsearch.storage import claims, leases, trials
from lrsearch.study.open_study import OpenStudy
from lrsearch.training.fused.cohort import Cohort
from lrsearch.worker import checkpoints as worker_checkpoints
from lrsearch.worker.jobs.search_trial import next_trial
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks import choose_engine
from lrsearch.worker.training_loop import job_trainer

CPU = torch.device("cpu")


@pytest.fixture
def engines(monkeypatch):
    """The engines of several places that were made, all of them side by side."""
    made = []

    def make(context, choice, recipe):
        engine = engine_for(context, choice, recipe)
        if isinstance(engine, SideBySide):
            made.append(engine)
        return engine

    monkeypatch.setattr(choose_engine, "choose", None)  # put back what `train_together` sets
    monkeypatch.setattr(job_trainer, "engine_for", None)
    train_together(1, make)
    return made


@pytest.fixture
def study(database, tmp_path):
    """Makes studies of these recipes."""

    def make(recipes, **changes):
        fields = {"checkpoints": str(tmp_path / "checkpoints"), "pruning": "none"}
        fields |= {"enqueue": recipes, "budget": {"trials": len(recipes)}}
        return make_study(database, **{**fields, **changes})

    return make


def work(search, size, loss=None):
    """Be a worker that trains so many trials at once, until the study is finished."""
    train_together(size, job_trainer.engine_for)
    loaded = calm_task() if loss is None else calm_task(loss)
    worker_of(search, loaded, Stop()).run()


def rows_of(search):
    with search.database.read() as connection:
        return trials.everything(connection, search.study_id)


def states(search):
    return Counter(row.state for row in rows_of(search))


def steps_saved(search):
    """The step of each running trial's newest checkpoint."""
    with search.database.read() as connection:
        newest = [saved.newest_first(connection, "trial", row.id) for row in rows_of(search)]
    return [kept[0].step for kept in newest if kept]


def holders(search):
    with search.database.read() as connection:
        return leases.holders(connection, search.study_id)


def only_one(source):
    """Gives one job, and then says that there is none."""
    return lambda context, known: None if known else source(context, known)


def train_until(search, engines, step, size, source=next_trial, **context):
    """Be a worker that is asked to stop at this step of its engine's first trial."""
    done = len(engines)

    def stop():
        return any(
            engine.trainings and engine.trainings[0].step >= step for engine in engines[done:]
        )

    make_crew(search, size, stop=stop, **context).train(source)


def sgd(number):
    """Recipes to enqueue."""
    schedule = {"name": "constant"}
    return [
        {"optimizer": {"name": "sgd", "lr": 0.1 / n}, "schedule": schedule}
        for n in range(1, number + 1)
    ]


# Who joins


def test_trials_trained_together_give_what_each_alone_gives(study, engines):
    """Three of them are stopped within an epoch, and go on together."""
    together, alone = study(sgd(8)), study(sgd(8), name="alone")
    train_until(together, engines, 9, size=3)
    assert holders(together) == []
    assert steps_saved(together) == [9, 9, 9]
    work(together, 4)
    assert_exact(together, total=8)
    assert [row.attempt for row in rows_of(together)] == [2] * 3 + [1] * 5
    # The fourth is new, and waits for the end of the epoch; others come where some have ended.
    assert engines[1].joined[:5] == [[], [9], [9, 9], [9, 9, 9], [12, 12, 12]]
    assert engines[1].joined[5:] == [[12], [12, 0], [12, 0, 0], [12, 12, 12]]
    assert len(engines) == 3  # the last is that of the confirmation
    work(alone, 1)
    assert what_came_out(together) == what_came_out(alone)
    assert len(engines) == 3


@pytest.mark.parametrize("prepared_url", ["sqlite"], indirect=True)
def test_a_fused_study_that_was_interrupted_gives_what_each_trial_alone_gives(study, monkeypatch):
    """It is stopped within its second epoch."""
    together, alone = study(sgd(8)), study(sgd(8), name="alone")
    made, make = [], job_trainer.engine_for
    monkeypatch.setattr(Cohort, "steps_per_look", STEPS_PER_EPOCH - 2)
    monkeypatch.setattr(
        job_trainer, "engine_for", lambda *given: made.append(make(*given)) or made[-1]
    )

    def within_the_second_epoch():
        steps = [training.step for engine in made for training in engine.trainings]
        return any(step > STEPS_PER_EPOCH and step % STEPS_PER_EPOCH for step in steps)

    make_crew(together, 3, stop=within_the_second_epoch).train(next_trial)
    (step,) = set(steps_saved(together))
    assert step % STEPS_PER_EPOCH
    worker_of(together, calm_task(), Stop(), fuse=3).run()
    worker_of(alone, calm_task(), Stop(), fuse="off").run()
    assert_exact(together, total=8)
    assert [row.attempt for row in rows_of(together)] == [2] * 3 + [1] * 5
    ours, theirs = what_came_out(together), what_came_out(alone)
    for name in ("lr", "train_loss", "val_loss"):
        expected = [row[name] for row in theirs["curves"]]
        assert [row[name] for row in ours["curves"]] == pytest.approx(expected, rel=1e-9)
    assert [run[:2] for run in ours["runs"]] == [run[:2] for run in theirs["runs"]]


def test_a_place_is_filled_where_an_epoch_ends(study, engines):
    search = study([POISON, *sgd(4)], confirm="none")
    work(search, 3)
    assert states(search) == {"diverged": 1, "complete": 4}
    assert engines[0].joined == [[], [0], [0, 0], [6, 6], [18]]
    assert engines[0].size == 2  # once there was nobody else


def test_the_last_of_a_cohort_go_on_alone_where_that_is_faster(study, engines, caplog):
    """From where they stand, with the rows that they have."""
    together = study([POISON, *sgd(2)], confirm="none")
    alone = study([POISON, *sgd(2)], confirm="none", name="alone")
    trainer = make_crew(together, 2)
    trainer.choice = replace(trainer.choice, timings={})
    caplog.set_level("INFO", logger="lrsearch")
    assert trainer.train(next_trial)
    assert engines[0].joined == [[], [0], [6]]
    line = "the last trials of a cohort train one at a time, equal to rounding: trial 2"
    assert [message for message in caplog.messages if "rounding" in message] == [line]
    assert states(together) == {"diverged": 1, "complete": 2}
    work(alone, 1)
    assert what_came_out(together)["curves"] == what_came_out(alone)["curves"]


def test_a_trial_that_does_not_fit_is_trained_alone_right_after(study, engines):
    search = study(sgd(3), confirm="none")
    train_until(search, engines, 9, size=2)
    train_until(search, engines, 12, size=2, source=only_one(next_trial))
    assert steps_saved(search) == [12, 9]
    work(search, 2)
    # It is tried where an epoch ends, once; then it waits for the end, and nobody else is asked.
    assert [engine.joined for engine in engines[2:]] == [[[], [12], [18]], [[]]]
    assert states(search) == {"complete": 3}
    assert [row.attempt for row in rows_of(search)] == [3, 2, 1]


def test_params_that_differ_do_not_train_together(study, engines):
    other = {**sgd(1)[0], "batch_size": 32}
    search = study([*sgd(1), other, *sgd(2)], confirm="none")
    work(search, 3)
    assert states(search) == {"complete": 4}
    assert [engine.joined for engine in engines] == [[[]], [[], [0]]]


# Who goes


@pytest.mark.both_databases
def test_one_that_is_stopped_or_lost_leaves_the_others_alone(study, engines, caplog):
    search = study(sgd(4), confirm="none")
    trainer = make_crew(search, 4)
    once = []

    def meanwhile():
        if once or not engines or engines[0].trainings[0].step < 6:
            return False
        first, second, *_ = trainer.context.renewer._held
        first.stop = second.lost = True
        with search.database.begin() as connection:
            assert claims.release(connection, second.claim)
            once.append(trials.take_over(connection, search.study_id, "thief:1:1", LEASE))
        return False

    trainer.context = replace(trainer.context, stop=meanwhile)
    trainer.train(next_trial)
    first, second, *others = rows_of(search)
    assert (first.state, first.reason) == ("pruned", "stopped by lrsearch trial stop")
    assert (second.state, second.worker, second.attempt) == ("running", "thief:1:1", 2)
    assert [row.state for row in others] == ["complete"] * 2
    assert caplog.messages == ["trial 1 was taken over: its lease had ended; this worker drops it"]
    assert trainer.context.renewer._held == ()


def test_where_it_may_be_anyones_fault_each_goes_on_alone(study, engines, caplog):
    recipes = [*sgd(2), POISON, *sgd(1)]
    search, alone = study(recipes, confirm="none"), study(sgd(2), name="alone", confirm="none")
    work(search, 3, raising_loss)
    assert states(search) == {"complete": 3, "failed": 1}
    first, second, guilty, last = rows_of(search)
    assert guilty.reason == "ValueError: the output is huge"
    assert [row.attempt for row in (first, second, guilty, last)] == [2, 2, 2, 1]
    assert [engine.joined for engine in engines] == [[[], [0], [0, 0]]]
    (line,) = caplog.messages
    assert line.startswith("training several trials at once failed (ValueError: ")
    work(alone, 1)
    assert [row.value for row in rows_of(alone)] == [first.value, second.value]


def allocate_too_much():
    """No machine has so much: 1 PiB."""
    torch.empty(1 << 50, dtype=torch.uint8)


@pytest.mark.parametrize("when", ["made", "trained"])
def test_out_of_memory_halves_how_many_train_at_once(study, engines, caplog, when):
    search, alone = study(sgd(4), confirm="none"), study(sgd(4), name="alone", confirm="none")
    sizes = []

    def hungry(context, choice, recipe):
        sizes.append(choice.size)
        if when == "made" and choice.size > 2:
            allocate_too_much()
        engine = engine_for(context, choice, recipe)
        advance = engine.advance

        def advance_few(steps):
            if len(engine.trainings) > 2:
                allocate_too_much()
            advance(steps)

        engine.advance = advance_few
        return engine

    train_together(8, hungry)
    worker_of(search, calm_task(), Stop()).run()
    assert sizes[:3] == [8, 4, 2]
    assert set(sizes[3:]) <= {2}
    assert states(search) == {"complete": 4}
    said = "training several trials at once failed (out of memory); this worker trains"
    assert caplog.messages == [f"{said} {n} at a time now" for n in (4, 2)]
    work(alone, 1)
    assert [row.value for row in rows_of(alone)] == [row.value for row in rows_of(search)]


def test_out_of_memory_down_to_one_at_a_time_is_an_end_of_the_trial_alone(study, engines, caplog):
    search = study([*sgd(1), POISON, *sgd(1)], confirm="none")

    def loss(output, target):
        if is_poison(output):
            allocate_too_much()
        return torch.nn.functional.mse_loss(output, target)

    work(search, 2, loss)
    assert [(row.state, row.reason) for row in rows_of(search)] == [
        ("complete", None), ("failed", "oom"), ("complete", None),
    ]  # fmt: skip
    assert caplog.messages[0].endswith("(out of memory); this worker trains one at a time now")


def be_killed(url):
    """Be a worker that dies of `POISON`."""
    torch.set_num_threads(1)
    train_together(3)
    with opened(url) as database:
        search = OpenStudy.open(database, "tiny")
        worker_of(search, calm_task(killing_loss), Stop()).run()


@pytest.mark.both_databases
def test_what_kills_its_worker_ends_alone(study, engines, prepared_url):
    search = study([*sgd(1), POISON, *sgd(1)], confirm="none")
    assert [finish(in_process(be_killed, prepared_url)) for _ in range(3)] == [[9]] * 3
    work(search, 3, killing_loss)
    rows = rows_of(search)
    assert [row.state for row in rows] == ["complete", "failed", "complete"]
    assert "died three times" in rows[1].reason
    # The third death was its alone.
    assert [row.deaths for row in rows] == [2, 3, 2]


# Checkpoints


@pytest.mark.parametrize("size", [1, 3])
def test_a_cohort_is_saved_where_an_epoch_ends(study, engines, monkeypatch, size):
    monkeypatch.setattr(worker_checkpoints, "COST_FACTOR", 0.0)
    steps = []

    def save(self, claim, training, pending=(), taken=None):
        steps.append(training.step)
        self._stands(training)

    monkeypatch.setattr(worker_checkpoints.Checkpoints, "save", save)
    search = study(sgd(3), confirm="none", checkpoints={"every": 1e-9})
    work(search, size)
    assert sorted(set(steps)) == ([6, 12, 18] if size > 1 else list(range(3, 24, 3)))
