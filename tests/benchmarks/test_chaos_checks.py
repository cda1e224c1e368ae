"""The checks that end benchmarks/chaos.py find what they claim to look for."""

import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import delete, update
from tiny_studies import opened, worker_of

from lrsearch.storage import tables, workers
from lrsearch.storage.moments import Trouble
from lrsearch.storage.outages import Patience
from lrsearch.study import deletion, lost_work
from lrsearch.study.create import create_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.task.find import load_task
from lrsearch.worker.worker import Stop

HERE = Path(__file__).parent
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import chaos_blame  # noqa: E402 - benchmarks are scripts, not a package
import chaos_checks  # noqa: E402
import chaos_side  # noqa: E402
import chaos_site  # noqa: E402
from chaos_faults import FAULTS, mix  # noqa: E402

TRIALS = 8
#: The benchmark's, without the process that loads its batches.
CALM_TASK = "calm_chaos_task.py:task"


@pytest.fixture(scope="module")
def calm(_sqlite_template, tmp_path_factory):
    """The database of a study that one undisturbed worker has finished."""
    folder = tmp_path_factory.mktemp("calm")
    path = shutil.copy(_sqlite_template, folder / "study.db")
    with opened(f"sqlite:///{path}") as database:
        spec = chaos_site.spec_of(TRIALS, 3, folder / "checkpoints")
        loaded = load_task(CALM_TASK, HERE)
        steps = chaos_site.STEPS_PER_EPOCH
        search, _ = create_study(database, spec, loaded, steps_per_epoch=steps, exist_ok=False)
        worker_of(search, loaded, Stop()).run()
    return folder


def look(folder):
    with opened(f"sqlite:///{folder}/study.db") as database:
        return chaos_checks.look(OpenStudy.open(database, chaos_site.STUDY))


def budget(found):
    yield chaos_checks.budget(found, TRIALS)


def same_bits(found):
    return chaos_checks.same_bits(found, load_task(CALM_TASK, HERE))


def checked_by(check):
    """A check that looks at the study alone, as those that do more."""
    return lambda found: [check(found)]


def test_nothing_is_wrong_with_an_undisturbed_study(calm):
    loaded = load_task("chaos_task.py:task", BENCHMARKS)
    checks = chaos_checks.of_study(look(calm), TRIALS, loaded)
    assert [line for check in checks for line in check.broken] == []
    assert all(check.count for check in checks)


ends, epochs, curves, rungs, optunas = (
    checked_by(getattr(chaos_checks, name))
    for name in ("ends", "epochs", "whole_curves", "rungs", "optunas_half")
)
t, c, s = tables.trials.c, tables.curves.c, tables.studies
DAMAGE = {
    "a trial twice": (budget, update(tables.trials).where(t.number == 5).values(number=4), "are"),
    "a ticket too many": (budget, update(s).values(trials_used=9), "trials_used are 9"),
    "a trial running": (
        ends,
        update(tables.trials).where(t.number == 2).values(state="running"),
        "trial 2 is running",
    ),
    "a lease held": (ends, update(tables.leases).values(expires_at=1e12), "is still held"),
    "epochs paid twice": (epochs, update(s).values(epochs_used=1e4), "epochs_used is"),
    "epochs kept": (epochs, update(s).values(epochs_reserved=16.0), "epochs_reserved is"),
    "a gap": (curves, delete(tables.curves).where(c.validation == 2), "has validations [1, 3"),
    "a mark lost": (rungs, delete(tables.rungs).where(tables.rungs.c.rung == 0), "has marks"),
    "a last bit": (
        same_bits,
        update(tables.curves).where(c.validation == 1).values(grad_norm=c.grad_norm * (1 + 1e-15)),
        "grad_norm",
    ),
    "a run changed": (same_bits, update(tables.confirmations).values(value=0.5), "0.5 instead of"),
    "another value": (
        optunas,
        update(tables.trials).where(t.state == "complete").values(value=t.value + 1),
        "in Optuna",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(calm, tmp_path, damage):
    check, statement, message = DAMAGE[damage]
    hurt = shutil.copytree(calm, tmp_path / "hurt")
    with opened(f"sqlite:///{hurt}/study.db") as database, database.begin() as connection:
        assert connection.execute(statement).rowcount
    lines = [line for found in check(look(hurt)) for line in found.broken]
    assert any(message in line for line in lines), lines


def test_a_trial_may_only_be_blamed_for_workers_that_the_storm_had_hurt(calm, tmp_path):
    hurt = shutil.copytree(calm, tmp_path / "hurt")
    failed = update(tables.trials).where(t.number == 2)
    with opened(f"sqlite:///{hurt}/study.db") as database, database.begin() as connection:
        connection.execute(failed.values(state="failed", reason=lost_work.REASON))
        for pid in (7, 8, 9):
            end = "failed: its worker" if pid == 9 else "is free again"
            workers.note(connection, 1, f"host:{pid}:1", f"trial 2 {end}")

    def lines(*pids):
        known = [SimpleNamespace(process=SimpleNamespace(pid=p), hurt=True) for p in pids]
        return chaos_blame.blamed(look(hurt), SimpleNamespace(everyone=known)).broken

    assert lines(7, 8, 9) == []
    assert lines(7, 9) == ["trial 2 failed, and lost host:8:1, which was not hurt"]
    (line,) = chaos_checks.ends(look(hurt)).broken
    assert "trial 2 is failed" in line
    assert chaos_checks.ends(look(hurt), may_blame=True).broken == []


def test_a_mix_holds_every_kind_about_as_often_as_its_weight():
    drawn = mix(60, list(FAULTS), random.Random(0))
    total = sum(fault.weight for fault in FAULTS.values())
    for name, fault in FAULTS.items():
        assert abs(drawn.count(name) - 60 * fault.weight / total) < 2
    assert set(mix(len(FAULTS), list(FAULTS), random.Random(0))) <= set(FAULTS)


def test_a_study_beside_stays_while_another_process_locks_sqlite(
    sqlite_url, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(chaos_side, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(deletion, "PATIENCE", Patience(seconds=1.0, kinds=(Trouble.BUSY,)))
    with opened(sqlite_url) as database:
        side = chaos_side.Side(SimpleNamespace(database=database, folder=tmp_path))
        made = chaos_side.Made(side._make(0.01), None)
        with database.begin() as connection:
            connection.execute(update(tables.studies).values(steps_per_epoch=7))
            side.swap(made)
        assert (side.deleted, side.fresh) == ([], [])
        assert "study side-1: storage" in capsys.readouterr().err
        side.swap(made)
        assert (len(side.deleted), len(side.fresh)) == (1, 1)
        side.database.close()
