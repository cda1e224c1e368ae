"""Trials and confirmation runs in real trackers: one run each, with the points of the database."""

import signal
import struct

import pytest
from processes import until
from sites import opened_site
from tiny_studies import VALIDATIONS, make_study, opened, tiny_task, worker_of
from tracker_readers import COMPARED, mlflow_runs, tensorboard_runs, wandb_runs

from lrsearch.loggers.send_study import send_study
from lrsearch.spec.log import Log
from lrsearch.storage import confirmations, curves, trials

STATUS = {"complete": "FINISHED", "pruned": "KILLED", "diverged": "KILLED", "failed": "FAILED"}


def stored(search):
    """Of each trial its row, and step -> values; and the confirmation runs."""
    with search.database.read() as connection:
        rows = trials.everything(connection, search.study_id)
        curve = curves.of_study(connection, search.study_id)
        runs = confirmations.everything(connection, search.study_id)
    found = {row.number: (row, {}) for row in rows}
    for one in curve:
        values = {**one.metrics, "lr": one.lr, "train_loss": one.train_loss}
        values["val_loss"] = one.val_loss
        found[one.number][1][one.step] = tuple(values.get(key) for key in COMPARED)
    return found, runs


def single(values):
    """The values as float32."""
    return tuple(
        None if value is None else struct.unpack("f", struct.pack("f", value))[0]
        for value in values
    )


def as_single(curve):
    return {step: single(values) for step, values in curve.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, _sqlite_template):
    """A finished study, trained four trials at once, that was logged to all three; and where."""
    folder = tmp_path_factory.mktemp("logged")
    uri = f"sqlite:///{folder}/mlflow.db"
    (folder / "study.db").write_bytes(_sqlite_template.read_bytes())
    with pytest.MonkeyPatch.context() as patch, opened(f"sqlite:///{folder}/study.db") as database:
        patch.chdir(folder)
        patch.setenv("WANDB_MODE", "offline")
        log = {"tensorboard": "tb", "mlflow": uri, "wandb": "lr"}
        search = make_study(database, log=log, budget={"trials": 8})
        worker_of(search, tiny_task(), fuse=4).run()
        yield search, folder, uri


@pytest.mark.parametrize("prepared_url", ["sqlite"], indirect=True)
def test_a_trial_that_waited_for_nothing_is_pruned_in_trackers_too(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rules = {"rungs": [0.15, 0.4], "rule": "planned"}
    how = {"pruning": rules, "budget": {"runs": 10}, "confirm": "none"}
    search = make_study(database, log={"tensorboard": "tb"}, **how)
    worker_of(search, tiny_task()).run()
    found, _ = stored(search)
    logged = tensorboard_runs(tmp_path / "tb")
    assert set(logged) == {f"trial-{number}" for number in found}
    assert {row.state for row, _ in found.values()} >= {"pruned", "complete"}
    for number, (row, curve) in found.items():
        points, tags = logged[f"trial-{number}"]
        assert points == as_single(curve)
        assert f"state: {row.state}" in tags["end"]


def test_tensorboard_has_each_trial_once_with_the_curve_of_the_database(finished):
    search, folder, _ = finished
    found, runs = stored(search)
    logged = tensorboard_runs(folder / "tb")
    names = {f"confirm-{run.number}-seed-{run.seed}" for run in runs}
    assert runs
    assert set(logged) == {f"trial-{number}" for number in found} | names
    for number, (row, curve) in found.items():
        points, tags = logged[f"trial-{number}"]
        assert points == as_single(curve)
        objective = [value for _, value in tags.get("objective", [])]
        assert objective == ([] if row.value is None else list(single([row.value])))
        assert f"state: {row.state}" in tags["end"]
        assert f"worker: {row.worker}" in tags["run"]
    for run in runs:
        points, tags = logged[f"confirm-{run.number}-seed-{run.seed}"]
        assert len(points) == VALIDATIONS
        assert tags["objective"] == [(24, *single([run.value]))]


def test_tensorboards_own_hparams_page_lists_each_run_with_its_recipe(finished):
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    search, folder, _ = finished
    found, runs = stored(search)
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder / "tb"))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder / "tb"))
    page = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    here = context.RequestContext()
    metadata = page.hparams_metadata(here, "")
    experiment = page.experiment_from_metadata(here, "", True, metadata, [])
    infos = {info.name for info in experiment.hparam_infos}
    assert {"optimizer.name", "optimizer.lr", "schedule.name", "kind"} <= infos
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        include_metrics=True,
        col_params=[],
    )
    handler = list_session_groups.Handler(here, page, "", request)
    groups = {group.name: group for group in handler.run().session_groups}
    assert len(groups) == len(found) + len(runs)
    for number, (row, _) in found.items():
        hparams = groups[f"trial-{number}"].hparams
        assert hparams["optimizer.lr"].number_value == row.recipe["optimizer"]["lr"]
        assert hparams["optimizer.name"].string_value == row.recipe["optimizer"]["name"]


def test_mlflow_has_each_trial_once_with_params_status_and_the_curve_of_the_database(finished):
    search, _, uri = finished
    found, runs = stored(search)
    logged = mlflow_runs(uri)
    assert len(logged) == len(found) + len(runs)
    for number, (row, curve) in found.items():
        points, run = logged[f"trial {number}"]
        assert points == curve
        assert run.info.status == STATUS[row.state]
        assert run.data.tags["lrsearch.state"] == row.state
        assert run.data.tags["lrsearch.kind"] == "search"
        assert run.data.metrics.get("objective") == row.value
        assert float(run.data.params["optimizer.lr"]) == row.recipe["optimizer"]["lr"]
    for run in runs:
        points, theirs = logged[f"confirmation of trial {run.number}, seed {run.seed}"]
        assert len(points) == VALIDATIONS
        assert theirs.data.metrics["objective"] == run.value
        assert theirs.data.tags["lrsearch.kind"] == "confirmation"
        assert theirs.data.params["seed"] == theirs.data.tags["lrsearch.seed"] == str(run.seed)
        lr = found[run.number][0].recipe["optimizer"]["lr"]
        assert float(theirs.data.params["optimizer.lr"]) == lr


def test_wandb_has_each_trial_once_with_config_summary_and_the_curve_of_the_database(finished):
    search, folder, _ = finished
    found, runs = stored(search)
    logged = wandb_runs(folder)
    by_name = {name.split("-", 1)[1]: value for name, value in logged.items()}
    assert len(by_name) == len(logged) == len(found) + len(runs)
    for number, (row, curve) in found.items():
        points, known = by_name[f"trial-{number}"]
        assert points == curve
        assert (known["state"], known.get("objective")) == (row.state, row.value)
        assert known["optimizer.lr"] == row.recipe["optimizer"]["lr"]
    for run in runs:
        points, known = by_name[f"confirm-{run.number}-seed-{run.seed}"]
        assert len(points) == VALIDATIONS
        assert known["objective"] == run.value


def test_a_finished_study_is_sent_anew_and_what_is_there_stays(finished, tmp_path, monkeypatch):
    search, folder, uri = finished
    monkeypatch.chdir(folder)
    found, runs = stored(search)
    before = mlflow_runs(uri)
    first, again = (
        send_study(search, Log(tensorboard=place, mlflow=uri)) for place in (str(tmp_path), "tb")
    )
    assert [(sent.trials, sent.confirmations) for sent in first] == [(len(found), len(runs))] * 2
    assert [sent.trials for sent in first] == [sent.trials for sent in again]
    after = mlflow_runs(uri)
    assert {name: points for name, (points, _) in after.items()} == {
        name: points for name, (points, _) in before.items()
    }
    for name, (_, run) in after.items():
        assert run.info.status == before[name][1].info.status
        assert run.data.metrics == before[name][1].data.metrics
    new = tensorboard_runs(tmp_path)
    for number, (_, curve) in found.items():
        assert new[f"trial-{number}"][0] == as_single(curve)
    for run in runs:  # the database has no curve of it, the first log still has
        name = f"confirm-{run.number}-seed-{run.seed}"
        points, tags = new[name]
        assert points == {}
        assert [value for _, value in tags["objective"]] == list(single([run.value]))
        assert len(tensorboard_runs(folder / "tb")[name][0]) == VALIDATIONS


def running(search):
    """The number of the trial in training once it has points."""
    found, _ = stored(search)
    return [number for number, (row, curve) in found.items() if row.state == "running" and curve]


def test_a_trial_whose_worker_is_killed_goes_on_in_the_same_run(sqlite_url, tmp_path):
    from lrsearch.loggers.mlflow import MlflowTracker  # 1 s, in each process that collects tests

    uri, folder = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "tb"
    MlflowTracker(uri)  # makes the tables, before this process looks into them
    with opened_site(sqlite_url, tmp_path) as site:
        search = make_study(
            site.database,
            log={"tensorboard": str(folder), "mlflow": uri},
            epochs=40,
            budget={"trials": 2},
            confirm="none",
            pruning="none",
            lease={"seconds": 2.0, "stall": 120.0},
            checkpoints={"every": 0.05},
        )
        site.say("slow")
        victim = site.worker("--fuse", "off")
        until(lambda: running(search))
        site.say("hold")
        site.held(1)
        [number] = running(search)
        # The trackers have what the database has, though training stands still.
        curve = until(lambda: whole(search, number, folder, uri))
        victim.signal(signal.SIGKILL)
        victim.wait()
        before = mlflow_runs(uri)[f"trial {number}"][1]
        site.release_held()
        site.say("")
        site.worker("--fuse", "off").succeed()
        found, _ = stored(search)
    in_mlflow, in_tensorboard = mlflow_runs(uri), tensorboard_runs(folder)
    assert found[number][0].attempt == 2
    assert curve.items() < found[number][1].items()
    assert (len(in_mlflow), len(in_tensorboard)) == (2, 2)
    for other, (row, points) in found.items():
        assert in_tensorboard[f"trial-{other}"][0] == as_single(points)
        assert in_mlflow[f"trial {other}"][0] == points
        assert in_mlflow[f"trial {other}"][1].info.status == STATUS[row.state]
    after = in_mlflow[f"trial {number}"][1]
    assert (before.info.status, before.info.run_id) == ("RUNNING", after.info.run_id)
    assert after.data.tags["lrsearch.attempt"] == "2"


def whole(search, number, folder, uri):
    """The curve of a trial in training if all of it is in both trackers."""
    curve = stored(search)[0][number][1]
    if not list((folder / "tiny" / f"trial-{number}").glob("events*")):
        return None
    # First: whoever reads MLflow's file all the time keeps its writer from it.
    if tensorboard_runs(folder)[f"trial-{number}"][0] != as_single(curve):
        return None
    return curve if mlflow_runs(uri).get(f"trial {number}", ({}, None))[0] == curve else None
