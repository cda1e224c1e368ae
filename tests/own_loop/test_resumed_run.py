"""A run that is interrupted and goes on in another process ends where an undisturbed one does."""

import pytest
import torch
from fake_worker import FakeWorker, make_run
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsearch.errors import LrsearchError
from lrsearch.own_loop.checkpoint import read_state, write_states
from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.kept import StateError
from lrsearch.own_loop.messages import Boundary, End, Finished, GoOn, Report, Save, Saved

PAIRS = [
    ("sgd", "cosine"),
    ("adamw", "one_cycle"),
    ("adam", "plateau"),
    ("muon", "wsd"),
    ("rmsprop", "cyclic"),
    ("sgd", "cosine_restarts"),
    ("nadam", "step"),
    ("adagrad", "exponential"),
    ("sgd", "inverse_sqrt"),
    ("radam", "linear"),
]


def train(run):
    torch.manual_seed(run.seed)
    x = torch.randn(40, 3)
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8, shuffle=True)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))
    optimizer = run.build(model, steps_per_epoch=len(loader))
    for _ in run.epochs():
        model.train()
        for inputs, targets in run.batches(loader):
            optimizer.zero_grad()
            loss = (model(inputs) - targets).square().mean()
            loss.backward()
            run.loss(loss)
            optimizer.step()
        model.eval()
        with run.average():
            run.report(val_loss=(model(x) - x.sum(1, keepdim=True)).square().mean())
        run.report(val_loss=(model(x) - x.sum(1, keepdim=True)).square().mean())


def saved_at(place, path):
    """Wants the state at this boundary, the first is 0, and ends the run there."""
    seen = []

    def answer(message):
        if isinstance(message, Saved):
            return End(reason="stopped")
        if isinstance(message, Boundary):
            seen.append(message)
            if len(seen) == place + 1:
                return Save(path=str(path))
        return GoOn()

    return answer


def curve(worker):
    """The reports, without what differs between any two runs."""
    return [{**vars(report), "seconds": None} for report in worker.of(Report)]


@pytest.mark.parametrize(("optimizer", "schedule"), PAIRS)
def test_it_has_the_curve_and_the_weights_of_an_undisturbed_one(tmp_path, optimizer, schedule):
    recipe = {
        "optimizer": {"name": optimizer, "lr": 0.01},
        "schedule": {"name": schedule},
        "epochs": 4,
        "ema": {"epochs": 1.0},
    }
    straight, worker = make_run(recipe=recipe, kind="check")
    train(straight)
    straight._loop.finish()
    path = tmp_path / "state"
    for place in (0, 1, 7):  # an epoch's top, twice, and a batch of the second epoch
        interrupting = FakeWorker(saved_at(place, path))
        interrupting.wants_save = place == 7
        run, _ = make_run(interrupting, recipe=recipe)
        with pytest.raises(Ended):
            train(run)
        torch.rand(place)
        resumed, after = make_run(recipe=recipe, kind="check", resume=str(path))
        train(resumed)
        resumed._loop.finish()
        done = len(interrupting.of(Report))
        assert curve(after) == curve(worker)[done:]
        assert after.of(Finished)[0].digests == worker.of(Finished)[0].digests
        assert resumed.step == straight.step


def test_the_worker_hears_how_large_the_state_is(tmp_path):
    path = tmp_path / "state"
    worker = FakeWorker(saved_at(0, path))
    run, _ = make_run(worker)
    with pytest.raises(Ended):
        train(run)
    assert worker.of(Saved) == [Saved(step=5, bytes=path.stat().st_size)]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def steps_of(run, seen):
    torch.manual_seed(run.seed)
    model = nn.Linear(2, 1)
    optimizer = run.build(model, steps_per_epoch=4)
    for step in run.steps():
        optimizer.zero_grad()
        loss = model(torch.randn(4, 2)).square().mean()
        loss.backward()
        optimizer.step()
        seen.append((step, run.epoch, loss.item()))
        if step % 3 == 2:
            run.report(val_loss=loss)


@pytest.mark.parametrize("wants", [False, True])
def test_a_loop_over_steps_goes_on_at_its_step(tmp_path, wants):
    seen, first = [], []
    run, worker = make_run(recipe={"epochs": None, "steps": 11})
    steps_of(run, seen)
    assert [step for step, _, _ in seen] == list(range(11))
    assert [epoch for _, epoch, _ in seen] == [step // 4 for step in range(11)]
    assert [boundary.step for boundary in worker.of(Boundary)] == [4, 8]
    path = tmp_path / "state"
    interrupting = FakeWorker(saved_at(1, path))
    interrupting.wants_save = wants
    run, _ = make_run(interrupting, recipe={"epochs": None, "steps": 11})
    with pytest.raises(Ended):
        steps_of(run, first)
    assert len(first) == (2 if wants else 8)
    run, _ = make_run(recipe={"epochs": None, "steps": 11}, resume=str(path))
    steps_of(run, first)
    assert first == seen


@given(states=st.lists(st.binary(max_size=50), min_size=1, max_size=4))
@settings(max_examples=30)
def test_each_rank_reads_its_own_state(tmp_path_factory, states):
    path = tmp_path_factory.mktemp("states") / "state"
    assert write_states(path, states) == path.stat().st_size
    assert [read_state(path, rank, len(states)) for rank in range(len(states))] == states
    with pytest.raises(StateError, match="ranks"):
        read_state(path, 0, len(states) + 1)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StateError, match="cut off"):
        read_state(path, 0, len(states))
    path.write_bytes(b"\x80nonsense")
    with pytest.raises(LrsearchError, match="no state"):
        read_state(path, 0, len(states))
