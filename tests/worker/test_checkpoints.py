"""A trial that was saved goes on to the same bits from the newest checkpoint that can be used, and
to an equal end without one; on SQLite and on PostgreSQL."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch
from command import run_command
from processes import finish, in_process
from small import make_recipe, make_training, run
from sqlalchemy import select, update
from tiny_studies import TASKS, ask, ended, make_study, opened, tiny_task, worker_of

from lrsearch.report.summary import trial_rows
from lrsearch.spec.parts import Checkpointing
from lrsearch.storage import checkpoints, leases
from lrsearch.storage import studies as studies_of
from lrsearch.storage.checkpoint_store import Saved
from lrsearch.storage.leases import Claim, Kind
from lrsearch.storage.tables import checkpoints as table
from lrsearch.storage.tables import confirmations, studies, trials
from lrsearch.study.checkpoint_cleanup import delete_study, store_of, sweep
from lrsearch.study.lost_work import reap_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.training import checkpoint_state
from lrsearch.trial.curve import Validation
from lrsearch.trial.states import TrialState
from lrsearch.user_input import read_yaml
from lrsearch.worker.checkpoints import Checkpoints
from lrsearch.worker.study_checkpoints import StudyCheckpoints

OTHER = "host:2:2"
STEPS = 24


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture
def search(database, folder):
    return make_study(database, checkpoints=str(folder))


@pytest.fixture
def claim(search):
    return ask(search).claim


def saved_at(step, size=10):
    file = f"trial-1-{step}-{step:016d}.pt"
    return Saved(file=file, step=step, sha256=f"{step:064d}", bytes=size)


def record(search, claim, step, **changes):
    with search.database.begin() as connection:
        return checkpoints.record(connection, claim, saved_at(step, **changes))


def newest(search, claim):
    with search.database.read() as connection:
        return checkpoints.newest_first(connection, claim.kind, claim.id)


def steps(search, claim):
    return [row.step for row in newest(search, claim)]


def total(search):
    with search.database.read() as connection:
        return checkpoints.total_bytes(connection, search.study_id)


def take_over(search, claim, worker=OTHER):
    """The claim of another worker, once this one's was let go."""
    with search.database.begin() as connection:
        leases.release(connection, search.study_id, [claim.worker])
    return ask(search, worker).claim


def deaths(search, claim):
    with search.database.read() as connection:
        query = select(trials.c.deaths).where(trials.c.id == claim.id)
        return connection.execute(query).scalar_one()


def die(search, claim):
    with search.database.begin() as connection:
        connection.execute(update(trials).where(trials.c.id == claim.id).values(deaths=2))


# Rows


def test_the_newest_two_are_kept(search, claim):
    for step in (3, 9, 12, 20):
        assert record(search, claim, step, size=step)
    assert steps(search, claim) == [20, 12]
    assert total(search) == 32
    row = newest(search, claim)[0]
    assert vars(row).items() >= vars(saved_at(20, size=20)).items()
    assert (row.kind, row.item, row.attempt) == ("trial", claim.id, 1)


@pytest.mark.both_databases
def test_what_another_has_ended_is_not_counted(search, claim):
    other = ask(search, OTHER).claim
    for each in (claim, other):
        assert record(search, each, 3)
    assert total(search) == 20
    with search.database.begin() as connection:
        ends = update(trials).where(trials.c.id == other.id).values(state=TrialState.PRUNED)
        connection.execute(ends)
    assert total(search) == 10


def test_a_file_is_recorded_once_however_often_this_is_asked(search, claim):
    for step in (3, 9, 9, 9):
        assert record(search, claim, step)
    assert steps(search, claim) == [9, 3]


def test_an_attempt_that_starts_anew_is_newer_than_the_one_before(search, claim):
    for step in (10, 20):
        record(search, claim, step)
    second = take_over(search, claim)
    assert record(search, second, 5)
    assert [(row.attempt, row.step) for row in newest(search, second)] == [(2, 5), (1, 20)]


@pytest.mark.both_databases
def test_a_worker_that_lost_its_trial_records_nothing(search, claim):
    record(search, claim, 5)
    second = take_over(search, claim)
    for lost in (claim, replace(second, worker=claim.worker), replace(claim, attempt=2)):
        assert not record(search, lost, 9)
    die(search, claim)
    assert not record(search, claim, 9)
    assert (steps(search, claim), deaths(search, claim)) == ([5], 2)
    with search.database.begin() as connection:
        values = {"state": TrialState.PRUNED}
        connection.execute(update(trials).where(trials.c.id == claim.id).values(**values))
    assert not record(search, second, 9)


def test_a_new_checkpoint_clears_the_trial_of_blame(search, claim):
    die(search, claim)
    assert record(search, claim, 5)
    assert deaths(search, claim) == 0


def test_what_is_forgotten_holds_nothing_and_makes_room(search, claim):
    for step in (10, 20):
        record(search, claim, step)
    with search.database.begin() as connection:
        checkpoints.forget(connection, claim.kind, claim.id)
    assert (newest(search, claim), total(search)) == ([], 0)
    assert record(search, claim, 5)
    assert steps(search, claim) == [5]
    assert record(search, claim, 6)
    assert steps(search, claim) == [6, 5]


@pytest.mark.both_databases
def test_a_branch_point_stays_beside_the_newest_two_and_with_the_newest(search, claim):
    with search.database.begin() as connection:
        assert checkpoints.branch_point(connection, search.study_id) is None
        assert checkpoints.record(connection, claim, saved_at(7), branches=True)
    for step in (3, 9, 12):
        record(search, claim, step)
    assert steps(search, claim) == [12, 9]
    with search.database.begin() as connection:
        stays = checkpoints.forget(connection, claim.kind, claim.id, but_newest=True)
        assert checkpoints.branch_point(connection, search.study_id).step == 7
    assert stays == {saved_at(7).file, saved_at(12).file}
    assert steps(search, claim) == [12]
    with search.database.begin() as connection:
        ends = update(trials).where(trials.c.id == claim.id).values(state=TrialState.COMPLETE)
        connection.execute(ends)
        kept = checkpoints.forget_ended(connection, search.study_id, keep_weights=True)
        assert (claim.kind, claim.id) in kept
        assert checkpoints.forget_ended(connection, search.study_id) == set()
        assert checkpoints.branch_point(connection, search.study_id) is None


def test_kinds_and_studies_are_told_apart(search, claim):
    record(search, claim, 5)
    other = make_study(search.database, name="other")
    run_of = {"round": "choose", "role": "candidate", "number": 0, "seed": 1, "attempt": 1}
    run_of |= {"epochs": 0.0, "seconds": 0.0, "state": "running", "worker": OTHER}
    with search.database.begin() as connection:
        insert = confirmations.insert().values(study_id=other.study_id, id=claim.id, **run_of)
        connection.execute(insert)
    confirmation = Claim(kind=Kind.CONFIRMATION, id=claim.id, attempt=1, worker=OTHER)
    assert record(other, confirmation, 7, size=100)
    assert (steps(search, claim), steps(search, confirmation)) == ([5], [7])
    assert (total(search), total(other)) == (10, 100)


# A worker's checkpoints


def recipe():
    return make_recipe(optimizer={"name": "adam", "lr": 0.05}, schedule="plateau")


def training_of():
    return make_training(recipe())


def plain(rows):
    return [replace(row, seconds=0.0) for row in rows]


@pytest.fixture(scope="module")
def whole():
    """Weights, optimizer and rows of a trial that nothing interrupts."""
    training = training_of()
    rows = plain(run(training))
    return training.model.state_dict(), training.optimizer.state_dict(), rows


def same(a, b):
    """Whether two states are equal to the last bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def assert_whole(training, rows, whole):
    weights, optimizer, expected = whole
    assert plain(rows) == expected
    assert same(training.model.state_dict(), weights)
    assert same(training.optimizer.state_dict(), optimizer)


def save(search, claim, *until):
    """Train, and save at these steps, as a worker does whose rows are not in the database yet."""
    worker = Checkpoints(StudyCheckpoints.of(search))
    training, rows = training_of(), []
    assert worker.resume(claim, training) is None
    for step in until:
        rows += run(training, until=step)
        assert worker.save(claim, training, rows)
    return worker


def go_on(search, claim):
    """What another worker makes of it: the step where it goes on, the trained trial, its rows."""
    training = training_of()
    rows = Checkpoints(StudyCheckpoints.of(search)).resume(claim, training)
    step = training.step
    return step, training, (rows or []) + run(training)


@pytest.mark.parametrize("where", ["folder", "memory://checkpoints"])
def test_a_trial_taken_over_at_any_step_ends_with_the_same_bits(where, database, folder, whole):
    place = str(folder) if where == "folder" else where
    search = make_study(database, checkpoints=place)
    step = random.Random(where).randrange(1, STEPS)
    first = ask(search).claim
    save(search, first, step)
    resumed, training, rows = go_on(search, take_over(search, first))
    assert resumed == step
    assert_whole(training, rows, whole)
    fsspec.filesystem("memory").store.clear()


def train_and_die(url, folder, step):
    torch.set_num_threads(1)
    with opened(url) as database:
        search = make_study(database, checkpoints=folder)
        save(search, ask(search).claim, step)


def finish_it(url, file):
    torch.set_num_threads(1)
    from lrsearch.study.open_study import OpenStudy

    with opened(url) as database:
        search = OpenStudy.open(database, "tiny")
        with search.database.begin() as connection:
            leases.release(connection, search.study_id, ["host:1:1"])
        resumed, training, rows = go_on(search, ask(search, OTHER).claim)
        state = [training.model.state_dict(), training.optimizer.state_dict()]
        torch.save([resumed, *state, [row.to_dict() for row in rows]], file)


@pytest.mark.both_databases
def test_another_process_goes_on_to_the_same_bits(prepared_url, folder, tmp_path, whole):
    assert finish(in_process(train_and_die, prepared_url, str(folder), 17)) == [0]
    assert finish(in_process(finish_it, prepared_url, str(tmp_path / "end"))) == [0]
    resumed, weights, optimizer, rows = torch.load(tmp_path / "end", weights_only=True)
    assert resumed == 17
    assert plain(Validation.from_dict(row) for row in rows) == whole[2]
    assert same(weights, whole[0])
    assert same(optimizer, whole[1])


def files(folder):
    return sorted(folder.rglob("*.pt"))


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("harm", [damage, Path.unlink])
@pytest.mark.parametrize("count", [1, 2])
def test_what_cannot_be_read_gives_way_to_the_one_before(
    search, claim, folder, whole, harm, count, caplog, monkeypatch
):
    save(search, claim, 9, 15)
    for row in newest(search, claim)[:count]:
        (path,) = folder.rglob(row.file)
        harm(path)
    loads = []
    load = checkpoint_state.unpack
    monkeypatch.setattr(
        checkpoint_state, "unpack", lambda *given, **how: loads.append(1) or load(*given, **how)
    )
    resumed, training, rows = go_on(search, take_over(search, claim))
    assert resumed == (9 if count == 1 else 0)
    assert len(loads) == 2 - count  # nothing reaches torch.load that was not written so
    assert len(caplog.messages) == count
    assert_whole(training, rows, whole)


def test_a_checkpoint_beyond_all_bounds_is_not_read(search, claim, folder, whole, caplog):
    """Whoever may write rows and files makes one as large as its row says."""
    save(search, claim, 9, 15)
    row = newest(search, claim)[0]
    (path,) = folder.rglob(row.file)
    with path.open("r+b") as file:
        file.truncate(10**12)  # a sparse one
    with search.database.begin() as connection:
        connection.execute(update(table).where(table.c.file == row.file).values(bytes=10**12))
    resumed, training, rows = go_on(search, take_over(search, claim))
    assert resumed == 9
    assert caplog.messages == [f"checkpoint {row.file} has more bytes than checkpoints.at_most"]
    assert_whole(training, rows, whole)


def test_a_trial_whose_facts_have_changed_starts_anew(search, claim, whole, caplog):
    save(search, claim, 9, 15)
    torch.set_num_threads(2)
    try:
        training = training_of()
        assert (
            Checkpoints(StudyCheckpoints.of(search)).resume(take_over(search, claim), training)
            is None
        )
    finally:
        torch.set_num_threads(1)
    assert training.step == 0
    assert caplog.messages == ["a checkpoint was made with another threads; starting anew"] * 2
    assert_whole(training, run(training), whole)


def test_only_the_newest_two_files_stay(search, claim, folder):
    save(search, claim, 3, 6, 9, 12)
    assert {path.name for path in files(folder)} == {row.file for row in newest(search, claim)}
    assert total(search) == sum(path.stat().st_size for path in files(folder))


def test_what_has_ended_leaves_no_file(search, claim, folder):
    worker = save(search, claim, 3, 6)
    worker.forget(claim)
    assert not list(folder.iterdir())
    assert (total(search), newest(search, claim)) == (0, [])


def test_a_worker_that_lost_its_trial_leaves_the_new_owners_files_alone(search, claim, folder):
    zombie, training = Checkpoints(StudyCheckpoints.of(search)), training_of()
    zombie.resume(claim, training)
    run(training, until=6)
    second = take_over(search, claim)
    save(search, second, 3, 9)
    before = files(folder)
    assert not zombie.save(claim, training)
    assert files(folder) == before


def test_a_position_is_saved_once(search, claim, folder):
    worker = save(search, claim, 6)
    training = training_of()
    second = take_over(search, claim)
    worker.resume(second, training)
    assert worker.save(second, training)
    assert len(files(folder)) == 1
    run(training, until=7)
    assert worker.save(second, training)
    assert steps(search, second) == [7, 6]


def test_a_checkpoint_is_due_at_rungs_and_by_time(search, claim):
    worker, training = Checkpoints(StudyCheckpoints.of(search)), training_of()
    worker.study_checkpoints.settings = Checkpointing(every=60)
    training.plan = replace(training.plan, rungs={1: 0})
    worker.resume(claim, training)
    run(training, until=6)  # the first validation
    training.seconds = 0.9
    assert not worker.due(training)
    training.seconds = 1.0
    assert worker.due(training)
    worker._cost = 0.1  # so that a save takes 5 % of the time at most
    assert not worker.due(training)
    training.seconds = 2.0
    assert worker.due(training)
    run(training, until=7)  # no longer at the rung
    training.seconds = 59.9
    assert not worker.due(training)
    training.seconds = 60.0
    assert worker.due(training)
    worker.save(claim, training)
    assert not worker.due(training)
    training.seconds = 120.0
    worker._cost = 0.0
    assert worker.due(training)


def test_the_size_of_all_is_bounded(database, folder, caplog):
    search = make_study(database, checkpoints={"to": str(folder), "at_most": 50_000})
    size = len(checkpoint_state.pack(training_of()))
    assert 3 * size < 50_000 < 20 * size
    done, limit = 0, 50_000 // size
    for number in range(4 * limit):
        claim = ask(search, f"host:{number + 1}:1")
        worker, training = Checkpoints(StudyCheckpoints.of(search)), training_of()
        if claim is None:
            break
        worker.resume(claim.claim, training)
        for step in (3, 6, 9):
            run(training, until=step)
            done += worker.save(claim.claim, training)
        assert total(search) <= 50_000
    assert sum(path.stat().st_size for path in files(folder)) == total(search) > 50_000 - size
    assert any("checkpoints.at_most" in line for line in caplog.messages)


@pytest.mark.parametrize("trouble", ["disk", "pack", "database"])
def test_a_trial_that_cannot_be_saved_trains_on(search, claim, trouble, monkeypatch, whole, caplog):
    worker, training, rows = Checkpoints(StudyCheckpoints.of(search)), training_of(), []
    worker.resume(claim, training)

    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    places = {"disk": (worker.store, "write"), "pack": (checkpoint_state, "pack")}
    places["database"] = (search.database, "look")
    monkeypatch.setattr(*places[trouble], fail)
    for step in (6, 9):
        rows += run(training, until=step)
        assert not worker.save(claim, training, rows)
        assert not worker.due(training)
    assert caplog.messages == [
        f"no checkpoint of trial with id {claim.id} can be kept: "
        "OSError: [Errno 28] No space left on device"
    ]
    monkeypatch.undo()
    rows += run(training, until=15)
    assert worker.save(claim, training, rows)
    assert steps(search, claim) == [15]
    assert_whole(training, rows + run(training), whole)


# What is left


def test_a_sweep_removes_what_no_longer_runs(search, claim, folder):
    second = ask(search, OTHER)
    save(search, claim, 3, 6)
    save(search, second.claim, 3)
    store = store_of(search)
    store.write("trial", second.claim.id, 1, b"never recorded")
    store.write("trial", 999, 1, b"of a trial that is not there")
    alone = store_of(make_study(search.database, name="other", checkpoints=str(folder)))
    alone.write("trial", 1, 1, b"of another study")
    assert search.tell(second, ended(TrialState.PRUNED))
    assert sweep(search, store) == 3
    assert len(store.names()) == 2
    assert len(alone.names()) == 1
    assert (steps(search, claim), steps(search, second.claim)) == ([6, 3], [])
    assert sweep(search, store) == 0


def test_a_trial_that_fails_for_its_workers_deaths_leaves_no_file(database, folder):
    """The last worker sweeps once more: it had begun before the trial failed."""
    search = make_study(
        database, checkpoints=str(folder), budget={"trials": 2}, range_test="none", confirm="none"
    )
    claim = ask(search, OTHER).claim
    save(search, claim, 3)

    def lose(idle):
        if idle:
            die(search, claim)
            reap_study(search, [OTHER])
        return False

    worker_of(search, tiny_task(), leave=lose).run()
    assert sorted(row["state"] for row in trial_rows(search)) == ["complete", "failed"]
    assert files(folder) == []


def test_studies_of_one_name_do_not_share_files(search, claim, folder):
    save(search, claim, 3)
    with search.database.begin() as connection:  # as if it were one of another database
        connection.execute(update(studies).values(created_at=studies.c.created_at + 1))
    other = store_of(search)
    assert other.names() == []
    other.write("trial", 77, 1, b"ended")
    assert sweep(search, other) == 1
    assert len(files(folder)) == 1


@pytest.mark.both_databases
def test_a_deleted_study_leaves_no_file(search, claim, folder):
    save(search, claim, 3, 6)
    delete_study(search)
    assert not list(folder.iterdir())


def test_a_study_keeps_its_folder_when_it_is_extended(search, claim, folder):
    save(search, claim, 3, 6)
    with search.database.begin() as connection:
        leases.release(connection, search.study_id, [claim.worker])
        named = {**search.spec.to_dict(), "name": "tiny.1"}
        studies_of.rename(connection, search.study_id, named)
    assert len(store_of(OpenStudy.open(search.database, "tiny.1")).names()) == 2
    assert len(list(folder.iterdir())) == 1


@pytest.mark.both_databases
def test_extending_leaves_no_file_of_what_it_ends(search, claim, folder, tmp_path, prepared_url):
    save(search, claim, 3, 6)
    with search.database.begin() as connection:
        leases.release(connection, search.study_id, [claim.worker])
    study = read_yaml(TASKS / "tiny.yaml", "study file") | {"checkpoints": str(folder)}
    study["space"]["schedules"]["linear"] = {}
    work = tmp_path / "work"
    shutil.copytree(TASKS, work)
    (work / "wider.yaml").write_text(json.dumps(study))
    done = run_command(
        "study", "extend", "tiny", "wider.yaml", folder=work, LRSEARCH_STORAGE=prepared_url
    )
    assert (done.code, done.err) == (0, "")
    assert not list(folder.iterdir())


def test_a_row_that_leads_elsewhere_is_left_alone(search, claim, folder, tmp_path, caplog):
    save(search, claim, 3, 6)
    (tmp_path / "secret.pt").write_bytes(b"x")
    with search.database.begin() as connection:
        hostile = {"file": "../../secret.pt", "kind": "os.system", "bytes": 2**62}
        connection.execute(update(table).where(table.c.step == 6).values(**hostile))
        connection.execute(update(table).where(table.c.step == 3).values(file="../../secret.pt"))
    resumed, _, _ = go_on(search, take_over(search, claim))
    assert resumed == 0
    sweep(search, store_of(search))
    assert (tmp_path / "secret.pt").read_bytes() == b"x"
