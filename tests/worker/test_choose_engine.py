"""What workers choose to train with is recorded with the study, on SQLite and on PostgreSQL."""

import logging
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from command import run_command
from tiny_studies import LEASE, TASKS, make_study, opened, tiny_task

from lrsearch.cli.main import cli
from lrsearch.errors import TaskError
from lrsearch.fusing import choice as rules
from lrsearch.report.load import load_report
from lrsearch.report.summary import reviewed
from lrsearch.report.text import page
from lrsearch.report.text.answer import study_text
from lrsearch.storage import engines, studies
from lrsearch.storage import workers as storage_workers
from lrsearch.storage.tables import workers
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import prepare
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.timing import measure
from lrsearch.training.timing.probe import Probe
from lrsearch.worker.tasks import choose_engine

CPU = torch.device("cpu")
TIMINGS = {1: 1.0, 2: 0.8, 4: 0.5, 8: 0.3, 16: 0.2}


class Lab:
    """Stands in for probe and calibration: what they find, and how often they were asked."""

    def __init__(self):
        self.fits, self.probes, self.sizes = True, 0, []

    def probe(self, task, recipe, splits, device):
        self.probes += 1
        reason = None if self.fits else "aten::lstm.input has no batching rule"
        return Probe(fits=self.fits, reason=reason)

    def calibrator(self, make, recipes, device):
        assert {recipe.optimizer["lr"] for recipe in recipes} == {measure.TAME_LR}
        return FakeCalibrator(self)


class FakeCalibrator:
    solo_seconds, seconds, cut_short = TIMINGS[1], 0.5, False

    def __init__(self, lab):
        self.lab = lab

    def run(self, sizes, budget):
        self.lab.sizes.append(sizes)
        return {size: seconds for size, seconds in TIMINGS.items() if size in (1, *sizes)}


@pytest.fixture
def lab(monkeypatch):
    found = Lab()
    monkeypatch.setattr(measure, "probe", found.probe)
    monkeypatch.setattr(measure, "Calibrator", found.calibrator)
    monkeypatch.setattr(rules, "LEAST_STEPS", 10)
    return found


def choose(search, wanted="auto", **rest):
    return choose_engine.choose(search, TaskCache(tiny_task(), CPU), CPU, wanted, **rest)


def study(database, trials=32, **changes):
    return make_study(database, budget={"trials": trials}, **changes)


@pytest.mark.both_databases
def test_the_first_worker_measures_and_the_others_take_its_choice(database, lab, caplog):
    caplog.set_level(logging.INFO, "lrsearch")
    search = study(database)
    first, second = choose(search), choose(OpenStudy.open(database, "tiny"))
    assert (first.engine, first.size) == (second.engine, second.size) == ("fused", 8)
    assert (lab.probes, lab.sizes) == (1, [[2, 4, 8]])
    line = "fuse=on engine=fused K=8 speedup=3.3x over one by one"
    assert [message.partition(" (probe")[0] for message in caplog.messages] == [
        line,
        f"{line}, as chosen before",
    ]
    summary = reviewed(search)
    (engine,) = summary["engines"]
    assert (engine["engine"], engine["size"], engine["fuse"]) == ("fused", 8, "auto")
    assert engine["speedup"] == pytest.approx(1 / 0.3)
    title = "fused, 8 trials at once: 3.3x over one by one"
    report = load_report(database, "tiny")
    assert f"engine: {title} ({engine['device']})" in study_text(report, verbose=True)
    assert page.engines(report) == (f"Trained {title}; on {engine['device']}.",)


@pytest.mark.both_databases
def test_another_study_of_the_same_task_takes_the_timings_with_a_quarter_of_its_own(database, lab):
    choose(study(database, 64))
    smaller = choose(study(database, 16, name="smaller"))
    assert (smaller.size, lab.probes, len(lab.sizes)) == (4, 1, 1)
    assert choose(study(database, 256, name="larger")).size == 16
    assert lab.sizes[1:] == [[2, 4, 8, 16, 32, 64]]
    other = study(database, 64, name="clipped", clip_norm=1.0)
    choose(other)
    assert len(lab.sizes) == 3  # its steps are others


def test_a_changed_budget_asks_anew(database, lab):
    assert choose(study(database, 16)).size == 4
    with database.begin() as connection:
        studies.change(connection, 1, trials_total=64)
    search = OpenStudy.open(database, "tiny")
    assert choose(search).size == 16
    assert [engine["size"] for engine in reviewed(search)["engines"]] == [16]


def test_what_a_quicker_worker_recorded_stands(database):
    search = study(database)
    key = engines.MeasurementKey(task="x", setting="x", device="x", precision="fp32", torch="x")
    alone = rules.Choice(engine="solo", size=1, reason="no", device="x")

    def record(size, budget):
        row = replace(alone, size=size).to_row()
        with database.begin() as connection:
            return engines.record(connection, search.study_id, key, row, fuse="auto", budget=budget)

    first = record(1, "32 trials")
    assert record(4, "32 trials") == first
    assert record(4, "64 trials").size == 4


def test_what_cannot_be_fused_is_tried_once(database, lab):
    lab.fits = False
    for name in ("tiny", "other"):
        found = choose(study(database, name=name))
        assert (found.engine, found.reason) == ("solo", "aten::lstm.input has no batching rule")
    assert (lab.probes, lab.sizes) == (1, [])


def test_workers_share_a_quarter(database, lab):
    search = study(database)
    with database.begin() as connection:
        for name in ("elsewhere:1:1", "elsewhere:2:2", "elsewhere:3:3"):
            storage_workers.register(connection, search.study_id, name, device="cpu", version="0")
        storage_workers.ended(connection, search.study_id, "elsewhere:3:3")
        lost = workers.c.name == "elsewhere:2:2"
        connection.execute(workers.update().where(lost).values(seen_at=0.0))
        assert storage_workers.alive(connection, search.study_id, LEASE) == ["elsewhere:1:1"]
    assert choose(search, started_together=2).size == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"trials": 7},
            "a quarter of the full trainings is fewer than two for each worker",
        ),
        (
            {"space": {"optimizers": {"sgd": {}}, "params": {"p": [1, 2]}}},
            "the space searches params (p), which fused trials must share",
        ),
    ],
)
def test_studies_that_are_not_worth_a_calibration(database, lab, changes, reason):
    found = choose(study(database, **changes))
    assert (found.engine, found.reason, lab.probes) == ("solo", reason, 0)


def test_short_studies_are_left_alone(database, lab, monkeypatch):
    monkeypatch.setattr(rules, "LEAST_STEPS", 1000)
    assert choose(study(database)).reason == "453 steps are too few to try"
    monkeypatch.setattr(rules, "LEAST_STEPS", 10)
    monkeypatch.setattr(FakeCalibrator, "solo_seconds", 0.001)
    found = choose(study(database, name="quick"))
    assert found.reason == "0.45 s of training are too few to try"
    assert lab.probes == 0


def test_what_was_given_is_recorded_beside_what_was_measured(database, lab):
    search = study(database)
    assert choose(search, 5).size == 5
    assert choose(search, "off").engine == "solo"
    assert choose(search).size == 8
    assert [(e["fuse"], e["size"]) for e in reviewed(search)["engines"]] == [
        ("5", 5),
        ("off", 1),
        ("auto", 8),
    ]
    assert len(lab.sizes) == 1
    lab.fits = False
    with pytest.raises(TaskError, match=r"^--fuse 6: aten::lstm.input has no batching rule; leave"):
        choose(search, 6)


def test_a_worker_is_told_how_to_train(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    with opened(f"sqlite:///{folder}/lrsearch.db") as database:
        prepare(database)
        search = study(database, 1, epochs=1, confirm="none")
        for words in (["worker", "tiny"], ["confirm", "tiny"], ["run", TASKS / "tiny.yaml"]):
            refused = CliRunner().invoke(cli, [*map(str, words), "--fuse", "2.5"]).exception
            assert str(refused).startswith("--fuse '2.5': auto, off or a number")
        ended = run_command("worker", "tiny", "--task-dir", TASKS, "--fuse", "off", folder=folder)
        assert (ended.code, ended.err) == (0, "")
        assert [engine["fuse"] for engine in reviewed(search)["engines"]] == ["off"]
