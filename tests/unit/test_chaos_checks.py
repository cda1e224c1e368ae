"""The checks that end benchmarks/chaos.py find what they claim to look for."""

import random
import shutil
import sys
from pathlib import Path

import pytest
import torch
from sqlalchemy import delete, update
from tiny_studies import opened

from lrsearch.storage import tables
from lrsearch.study.create import create_study
from lrsearch.study.search import Search
from lrsearch.task import load_task
from lrsearch.worker import Stop, Worker

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import chaos_checks  # noqa: E402 - benchmarks are scripts, not a package
import chaos_site  # noqa: E402
from chaos_faults import FAULTS, mix  # noqa: E402

TRIALS = 8


@pytest.fixture(scope="module")
def calm(_sqlite_template, tmp_path_factory):
    """The database of a study that one undisturbed worker has finished."""
    folder = tmp_path_factory.mktemp("calm")
    path = shutil.copy(_sqlite_template, folder / "study.db")
    with opened(f"sqlite:///{path}") as database:
        spec = chaos_site.spec_of(TRIALS, 3, folder / "checkpoints")
        loaded = load_task(spec.task, BENCHMARKS)
        steps = chaos_site.STEPS_PER_EPOCH
        search, _ = create_study(database, spec, loaded, steps_per_epoch=steps, exist_ok=False)
        Worker(search, loaded, torch.device("cpu"), Stop()).run()
    return folder


def broken(folder, damage=None):
    """What the checks find in a folder's database, after this statement."""
    loaded = load_task("chaos_task.py:task", BENCHMARKS)
    with opened(f"sqlite:///{folder}/study.db") as database:
        if damage is not None:
            with database.begin() as connection:
                assert connection.execute(damage).rowcount
        found = chaos_checks.look(Search.open(database, chaos_site.STUDY))
        checks = chaos_checks.of_study(found, TRIALS, loaded)
    return [line for check in checks for line in check.broken]


def test_nothing_is_wrong_with_an_undisturbed_study(calm):
    assert broken(calm) == []


t, c = tables.trials.c, tables.curves.c
DAMAGE = {
    "a trial twice": (update(tables.trials).where(t.number == 5).values(number=4), "numbers are"),
    "one ticket too many": (update(tables.studies).values(trials_used=9), "trials_used is 9"),
    "a trial running": (
        update(tables.trials).where(t.number == 2).values(state="running"),
        "trial 2 is running",
    ),
    "epochs paid twice": (update(tables.studies).values(epochs_used=1e4), "epochs_used is"),
    "epochs kept": (update(tables.studies).values(epochs_reserved=16.0), "epochs_reserved is"),
    "a gap": (delete(tables.curves).where(c.validation == 2), "has validations [1, 3"),
    "a mark lost": (delete(tables.rungs).where(tables.rungs.c.rung == 0), "has marks"),
    "a last bit": (
        update(tables.curves).where(c.validation == 1).values(grad_norm=c.grad_norm * (1 + 1e-15)),
        "grad_norm",
    ),
    "another value": (
        update(tables.trials).where(t.state == "complete").values(value=t.value + 1),
        "in Optuna",
    ),
    "a run changed": (update(tables.confirmations).values(value=0.5), "0.5 instead of"),
    "a lease held": (update(tables.leases).values(expires_at=1e12), "is still held"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(calm, tmp_path, damage):
    statement, message = DAMAGE[damage]
    lines = broken(shutil.copytree(calm, tmp_path / "hurt"), statement)
    assert any(message in line for line in lines), lines


def test_a_mix_holds_every_kind_about_as_often_as_its_weight():
    drawn = mix(60, list(FAULTS), random.Random(0))
    total = sum(fault.weight for fault in FAULTS.values())
    for name, fault in FAULTS.items():
        assert abs(drawn.count(name) - 60 * fault.weight / total) < 2
    assert set(mix(len(FAULTS), list(FAULTS), random.Random(0))) <= set(FAULTS)
