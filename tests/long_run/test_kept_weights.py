"""The weights that a trial's value is of: plain torch repeats the value with them, and an
interrupted run keeps the same."""

import pytest
import torch
from tiny_studies import make_study, opened, tiny_task, work, worker_of
from torch.nn.functional import mse_loss

from lrsearch.spec.trial_value import best_validation
from lrsearch.storage import checkpoints, curves, trials
from lrsearch.storage.leases import Kind
from lrsearch.study.checkpoint_cleanup import delete_study, store_of, sweep
from lrsearch.study.open_study import OpenStudy
from lrsearch.training.kept_weights import kept_in
from lrsearch.training.solo import SoloTraining
from lrsearch.worker.stop_signal import Stop

#: At a high rate, constant: the best validation is not the last.
ROUGH = {"optimizer": {"name": "adam", "lr": 0.2}, "schedule": "constant"}
ONE = {
    "budget": {"trials": 1},
    "confirm": None,
    "pruning": None,
    "enqueue": [ROUGH],
    "checkpoints": {"keep_weights": True},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def database(sqlite_url):
    with opened(sqlite_url) as database:
        yield database


def study_of(database, **changes):
    return make_study(database, **{**ONE, **changes})


def kept_by(search):
    """The study's only trial, its curve and what it left."""
    with search.database.read() as connection:
        (trial,) = trials.everything(connection, search.study_id)
        rows = curves.of_trial(connection, trial.id)
        files = checkpoints.newest_first(connection, Kind.TRIAL, trial.id)
    kept = [kept_in(store_of(search).read(row.file, row.sha256, row.bytes)) for row in files]
    return trial, rows, kept


def plain_loss(weights):
    """The tiny task's validation loss in plain torch."""
    model = tiny_task().make({}).model()
    model.load_state_dict(weights)
    inputs, targets = tiny_task().make({}).validation
    with torch.no_grad():
        return mse_loss(model.eval()(inputs), targets).item()


def loss_of(row, spec):
    return row.val_loss_ema if spec.ema.deploy else row.val_loss


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": {"metric": "val_loss", "direction": "minimize", "at": "last"}},
        {"ema": {"epochs": 0.5, "deploy": True}},
        {"objective": {"metric": "mae", "direction": "minimize"}},
        {"enqueue": [{"optimizer": {"name": "adamw", "lr": 0.1}, "schedule": "cosine"}]},
    ],
    ids=["best", "last", "average", "metric", "fused"],
)
def test_plain_torch_repeats_the_value_with_the_weights_that_are_left(database, changes):
    search = study_of(database, **changes)
    work(search)
    trial, rows, [kept] = kept_by(search)
    best = best_validation(rows, search.spec)
    assert trial.state == "complete"
    assert (kept.row.validation, kept.row.step) == (best.validation, best.step)
    assert plain_loss(kept.weights) == pytest.approx(loss_of(best, search.spec), rel=1e-6)


def test_the_best_weights_are_not_the_last(database):
    search = study_of(database)
    work(search)
    _, rows, [kept] = kept_by(search)
    assert kept.row.validation < len(rows)
    assert plain_loss(kept.weights) < rows[-1].val_loss


class StopsAt(Stop):
    """Asks the worker to leave once its trial has come to a step."""

    def __init__(self, monkeypatch, step):
        super().__init__()
        before = SoloTraining.advance

        def advance(training, until):
            before(training, min(until, step) if training.step < step else until)
            self.signalled = self.signalled or training.step == step

        monkeypatch.setattr(SoloTraining, "advance", advance)


@pytest.mark.parametrize("step", [4, 11, 17, 23])
def test_an_interrupted_run_leaves_the_same_bits(database, monkeypatch, step):
    whole = study_of(database, name="whole")
    work(whole)
    search = study_of(database)
    with monkeypatch.context() as patch:
        worker_of(search, tiny_task(), StopsAt(patch, step)).run()
    search = OpenStudy.open(database, search.name)
    trial, _, [kept] = kept_by(search)
    assert (trial.state, trial.attempt) == ("running", 1)
    work(search)
    trial, _, [kept] = kept_by(search)
    _, _, [expected] = kept_by(whole)
    assert (trial.state, trial.attempt) == ("complete", 2)
    assert kept.row.validation == expected.row.validation
    assert kept.weights.keys() == expected.weights.keys()
    for name, value in expected.weights.items():
        assert torch.equal(kept.weights[name], value)


def test_they_stay_until_the_study_is_deleted(database):
    search = study_of(database)
    work(search)
    store = store_of(search)
    assert len(store.names()) == 1
    assert sweep(search, store) == 0
    assert len(store.names()) == 1
    delete_study(search)
    assert store.names() == []


def test_nothing_is_left_where_it_is_not_asked_for(database):
    search = study_of(database, checkpoints={"every": 1e-9})
    work(search)
    assert kept_by(search)[2] == []
    assert store_of(search).names() == []


def test_a_diverged_trial_leaves_nothing(database):
    cliff = {"optimizer": {"name": "sgd", "lr": 1e6}, "schedule": "constant"}
    search = study_of(database, enqueue=[cliff])
    work(search)
    trial, _, kept = kept_by(search)
    assert (trial.state, kept) == ("diverged", [])
