"""Data whose reading draws random numbers, in real processes: six trials of one seed are equal."""

import json
import signal

import psutil
import pytest
import yaml
from command import run_here
from processes import Command, until

TASK = """
import random
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import lrsearch

X = torch.randn(160, 6, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)


class Augmented(Dataset):
    def __init__(self, rows, draws, pause=0.0):
        self.rows, self.draws, self.pause = rows, draws, pause
        self.rng = np.random.default_rng()

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        time.sleep(self.pause)
        x = X[self.rows[index]]
        if self.draws:
            x = x + 0.5 * torch.from_numpy(np.random.randn(6).astype("float32"))
            x = x + 0.1 * torch.randn(6) + 0.1 * self.rng.random()
            if random.random() < 0.5:
                x = x.flip(0)
        return x, Y[self.rows[index]]


def task(mark=0, workers=0, pause=0.0, **arguments):
    train = Augmented(range(120), True, pause)
    return lrsearch.Task(
        model=lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.Linear(8, 3)),
        train=lambda: DataLoader(train, 16, shuffle=True, num_workers=workers, **arguments),
        validation=Augmented(range(120, 160), True),
        loss=nn.functional.cross_entropy,
    )


def with_workers(mark=0):
    return task(workers=2)


def started_anew(mark=0):
    return task(workers=1, multiprocessing_context="spawn")


def slow_with_workers(mark=0):
    return task(workers=2, pause=0.004)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, 6)

    def forward(self, x):
        h = self.a(x)
        return self.b(h + 0.1 * torch.randn_like(h) + 0.1 * np.random.normal())


def autoencoder():
    return lrsearch.Task(
        model=Noisy,
        train=(X[:120], X[:120]),
        validation=(X[120:], X[120:]),
        loss=nn.functional.mse_loss,
        batch_size=16,
    )
"""

RECIPE = {
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    "schedule": {"name": "constant"},
}
TRIALS = 3


def study(name, task, **changes):
    fields = {
        "name": name,
        "task": f"task.py:{task}",
        "epochs": 3,
        "budget": {"trials": TRIALS},
        "pruning": None,
        "range_test": None,
        "confirm": None,
        "space": {
            "optimizers": {"sgd": {"lr": 0.05, "momentum": 0.9}},
            "schedules": {"constant": {}},
            "warmup": 0.0,
            "params": {"mark": list(range(TRIALS))},
        },
        "enqueue": [{**RECIPE, "params": {"mark": mark}} for mark in range(TRIALS)],
    }
    return yaml.safe_dump({**fields, **changes})


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "task.py").write_text(TASK)
    return folder


def succeed(*words, folder):
    ended = run_here(*words, folder=folder)
    assert ended.code == 0, ended.err
    return ended.out


def curves(name, folder):
    """Losses of every validation of each trial."""
    rows = json.loads(succeed("study", "curves", name, "--json", folder=folder))
    trials = {row["trial"] for row in rows}
    return [
        [(row["train_loss"], row["val_loss"]) for row in rows if row["trial"] == trial]
        for trial in sorted(trials)
    ]


def run_study(name, task, folder, **changes):
    (folder / f"{name}.yaml").write_text(study(name, task, **changes))
    succeed("run", f"{name}.yaml", "--fuse", "off", folder=folder)
    return curves(name, folder)


def children(command):
    return psutil.Process(command.pid).children(recursive=True)


def stopped(folder):
    """Stop a worker in the middle of a trial; no process of it is left. Its exit code is 0."""
    before = len(json.loads(succeed("study", "curves", "slow", "--json", folder=folder)))
    worker = Command("worker", "slow", "--fuse", "off", folder=folder)
    until(lambda: len(children(worker)) >= 2)
    rows = lambda: succeed("study", "curves", "slow", "--json", folder=folder)  # noqa: E731
    until(lambda: len(json.loads(rows())) > before)
    loading = children(worker)
    worker.signal(signal.SIGTERM)
    worker.succeed()
    gone, alive = psutil.wait_procs(loading, timeout=10)
    assert not alive, gone


def test_trials_of_one_seed_are_equal_with_and_without_workers_interrupted_or_not(folder):
    here = run_study("here", "task", folder)
    there = run_study("there", "with_workers", folder)
    (folder / "slow.yaml").write_text(study("slow", "slow_with_workers"))
    succeed("study", "create", "slow.yaml", folder=folder)
    stopped(folder)
    Command("worker", "slow", "--fuse", "off", folder=folder).succeed()
    assert len(here) == TRIALS
    assert all(len(curve) == 3 for curve in here)
    assert here == [here[0]] * TRIALS
    assert there == here
    assert curves("slow", folder) == here


@pytest.mark.slow  # each worker imports torch
def test_workers_may_be_started_anew_rather_than_forked(folder):
    common = {"budget": {"trials": 1}, "enqueue": [], "epochs": 1}
    here = run_study("here", "task", folder, **common)
    assert run_study("anew", "started_anew", folder, **common) == here


def test_how_often_a_model_that_draws_is_validated_does_not_change_its_training(folder):
    space = {
        "optimizers": {"sgd": {"lr": 0.05, "momentum": 0.9}},
        "schedules": {"constant": {}},
        "warmup": 0.0,
    }
    common = {"budget": {"trials": 1}, "enqueue": [], "space": space}
    (rare,) = run_study("rare", "autoencoder", folder, **common)
    (often,) = run_study("often", "autoencoder", folder, validate_every={"steps": 1}, **common)
    steps = 120 // 16
    means = [
        sum(loss for loss, _ in often[epoch * steps : (epoch + 1) * steps]) / steps
        for epoch in range(3)
    ]
    assert means == pytest.approx([loss for loss, _ in rare], abs=1e-6)
    assert [loss for _, loss in often[steps - 1 :: steps]] == [loss for _, loss in rare]


def test_a_killed_worker_leaves_no_process_behind(folder):
    (folder / "slow.yaml").write_text(study("slow", "slow_with_workers"))
    succeed("study", "create", "slow.yaml", folder=folder)
    worker = Command("worker", "slow", "--fuse", "off", folder=folder)
    loading = until(lambda: len(found := children(worker)) >= 2 and found)
    worker.signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    # torch's workers look for their parent every 5 s.
    _, alive = psutil.wait_procs(loading, timeout=20)
    assert not alive
