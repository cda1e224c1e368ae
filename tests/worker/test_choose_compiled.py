"""Workers try compiled steps in long studies, and record whether they are taken."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from compilers import interpret
from small import make_task
from tiny_studies import TASKS, make_context, make_study, tiny_spec, tiny_task, worker_of
from trained_together import no_dropout

from lrsearch.cli.main import cli
from lrsearch.fusing import choice as rules
from lrsearch.fusing import compiling
from lrsearch.report.files import export_recipe
from lrsearch.report.load import load_report
from lrsearch.report.summary import reviewed
from lrsearch.report.text.answer import study_text
from lrsearch.study.open_study import OpenStudy
from lrsearch.training.solo import SoloTraining
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.timing import measure
from lrsearch.training.timing import try_compiled as trying
from lrsearch.training.timing.calibrator import Calibrator
from lrsearch.worker.tasks import choose_engine
from lrsearch.worker.training_loop.job_trainer import JobTrainer

CPU = torch.device("cpu")


def plain_task():
    """The tiny study's task with a model that draws no random numbers."""
    return replace(tiny_task(), target=make_task(model=no_dropout))


def choose(search, *wanted):
    return choose_engine.choose(search, TaskCache(plain_task(), CPU), CPU, *wanted)


@pytest.fixture
def tries(monkeypatch):
    """Compiled steps are said to pay; how often that was asked."""
    asked = []

    def try_compiled(spec, cache, recipes, found, workload):
        asked.append(found)
        return compiling.compiled(found, "1.5x over one by one, compiled in 3 s", 3.0)

    monkeypatch.setattr(choose_engine, "try_compiled", try_compiled)
    return asked


@pytest.mark.both_databases
def test_the_first_worker_tries_and_the_others_take_its_choice(database, tries):
    search = make_study(database)
    first, second = choose(search), choose(OpenStudy.open(database, "tiny"))
    assert (first.engine, first.size, first) == ("compiled", 1, second)
    assert len(tries) == 1
    (engine,) = reviewed(search)["engines"]
    assert (engine["engine"], engine["fuse"], engine["compile"]) == ("compiled", "auto", "auto")
    assert "engine: one by one, compiled: 1.5x over one by one" in study_text(
        load_report(database, "tiny"), verbose=True
    )


def test_only_what_is_left_to_be_measured_is_compiled(database, tries):
    search = make_study(database)
    for wanted in (("auto", "off"), ("off", "auto"), ("off", "off"), (2, "auto")):
        assert choose(search, *wanted).engine == ("fused" if wanted[0] == 2 else "solo")
    assert tries == []
    found = [(engine["fuse"], engine["compile"]) for engine in reviewed(search)["engines"]]
    assert found == [("auto", "off"), ("off", "auto"), ("2", "auto")]
    space = {"optimizers": {"sgd": {}}, "params": {"p": [1, 2]}}
    assert choose(make_study(database, name="params", space=space)).engine == "solo"
    assert tries == []


def test_trials_of_a_study_are_compiled_and_confirmed_so(database, tries, monkeypatch):
    """With the same operations in the compiler's place a whole study ends with the same bits."""
    interpret(monkeypatch)
    engines, admit = [], SoloTraining.restart

    def restart(training):
        admit(training)
        engines.append(training.engine)

    ended = {}
    for name, fuse in (("compiled", "auto"), ("alone", "off")):
        search = make_study(database, name=name, budget={"trials": 4}, range_test="none")
        with monkeypatch.context() as patched:
            patched.setattr(SoloTraining, "restart", restart)
            worker_of(search, plain_task(), fuse=fuse).run()
        report = load_report(database, name)
        ended[name] = [(trial.state, trial.value, trial.epochs) for trial in report.trials]
        assert set(engines) == {"compiled" if name == "compiled" else "solo"}
        engines.clear()
        exported = export_recipe(search, trial=None, form="torch")
        assert ("trained with compiled steps" in exported.text) == (name == "compiled")
    assert ended["compiled"] == ended["alone"]
    assert len(ended["alone"]) == 4


def test_a_try_compiles_once_and_times_both_ways(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "lrsearch")
    interpret(monkeypatch)
    monkeypatch.setattr(compiling, "EXPECTED_SECONDS", 0.0)
    spec = tiny_spec()
    cache, found = TaskCache(plain_task(), CPU), rules.Choice.solo("it is alone")
    recipes = choose_engine.sample(spec, 2, 16)
    workload = rules.Workload(trial_steps=24, steps_left=1e9)
    monkeypatch.setattr(Calibrator, "beside", lambda *engines: (1e-3, 5e-4))
    chosen = trying.try_compiled(spec, cache, recipes, found, workload)
    monkeypatch.setattr(Calibrator, "beside", lambda *engines: (1e-3, 1e-3))
    assert trying.try_compiled(spec, cache, recipes, found, workload) is found
    assert (chosen.engine, chosen.reason[:21]) == ("compiled", "2.0x over one by one,")
    assert [line[:24] for line in caplog.messages if "compiled" in line] == [
        "a step is compiled, in 0",
        "steps are compiled: 2.0x",
        "steps are not compiled: ",
    ]


def test_steps_are_timed_in_turns():
    """Here the same steps, by the same engines: a number for each."""
    spec, cache = tiny_spec(), TaskCache(plain_task(), CPU)
    recipes = [measure.tamed(recipe) for recipe in choose_engine.sample(spec, 2, 16)]

    def engine(recipe):
        made = measure.new_engine(spec, cache, recipe, 1)
        made.admit(recipe)
        return made

    def empty(size):
        return measure.new_engine(spec, cache, recipes[0], size)

    calibrator = Calibrator(empty, recipes, CPU)
    plain, other = calibrator.beside([engine(recipe) for recipe in recipes])
    assert 0 < plain < 1
    assert 0 < other < 1


def test_a_short_study_tries_nothing(monkeypatch):
    monkeypatch.setattr(trying, "tamed", None)
    found = rules.Choice(engine="solo", size=1, reason="alone", timings={1: 1e-4})
    workload = rules.Workload(trial_steps=24, steps_left=100)
    cache = TaskCache(plain_task(), CPU)
    assert trying.try_compiled(tiny_spec(), cache, [], found, workload) is found


@pytest.mark.parametrize("is_suspect", [False, True])
def test_what_lost_its_worker_twice_is_not_compiled(database, is_suspect):
    context = make_context(make_study(database), plain_task())
    chosen = rules.Choice(engine="compiled", size=1, reason="1.5x")
    leased = SimpleNamespace(is_suspect=is_suspect, job=SimpleNamespace(recipe=None))
    engine = JobTrainer(context, chosen)._engine(leased, alone=is_suspect)
    assert engine.compiles == (not is_suspect)


def test_another_word_is_refused_in_one_line():
    refused = CliRunner().invoke(cli, ["run", str(TASKS / "tiny.yaml"), "--compile", "on"])
    assert str(refused.exception) == "--compile 'on': auto or off is accepted"
