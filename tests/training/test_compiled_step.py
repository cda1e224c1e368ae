"""Trials whose steps are compiled. Most tests put the recorded operations, run one by one, in the
compiler's place; those of the compiler itself are slow."""

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from compilers import interpret
from small import TRAIN, VALIDATION, make_recipe, make_task, make_training, run
from static_models import Counts, Plain
from torch import nn
from torch._inductor.exc import InvalidCxxCompiler
from trained_together import no_dropout, with_dropout

from lrsearch.training import compiled_step
from lrsearch.training.compiled_step import CACHE, CompiledSteps
from lrsearch.training.recorded_step import Recordings
from lrsearch.training.written_step import WrittenStep

SGD = {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}}
FUSED = {"optimizer": {"name": "adamw", "lr": 0.01, "fused": True}}
HERE = Path(__file__)


def trained(task, compiled, recipe=None, until=None, start=None):
    """A trial to its end, or to this step, from its start or from a checkpoint."""
    training = make_training(
        recipe or make_recipe(**SGD), task, Recordings(), compiled, validate_steps=5
    )
    if start is not None:
        assert training.unpack(start) is not None
    rows = run(training, until=until)
    return training, [(row.train_loss, row.val_loss, row.grad_norm) for row in rows]


def same_bits(one, other):
    return all(map(torch.equal, one.parameters, other.parameters))


@pytest.fixture
def interpreted(monkeypatch):
    interpret(monkeypatch)


@pytest.mark.parametrize("make", [no_dropout, Plain])
@pytest.mark.parametrize("changes", [SGD, FUSED, {**FUSED, "clip_norm": 0.5}])
def test_a_compiled_trial_does_all_its_steps_so(interpreted, make, changes):
    """Weights, averages, buffers and rows are those of the operations that were compiled."""
    task, recipe = make_task(model=make), make_recipe(**changes)
    given, mine = trained(task, CompiledSteps(), recipe)
    wanted, rows = trained(task, None, recipe)
    assert (given.engine, wanted.engine) == ("compiled", "solo")
    assert mine == rows
    assert same_bits(given, wanted)
    assert all(map(torch.equal, given.ema.average, wanted.ema.average))


def test_a_step_is_compiled_once_for_all_trials(interpreted, caplog):
    caplog.set_level(logging.INFO, "lrsearch")
    task, steps = make_task(model=no_dropout), CompiledSteps()
    for seed in (0, 1):
        training, _ = trained(task, steps, make_recipe(**SGD, seed=seed))
        assert training.engine == "compiled"
    assert [line[:18] for line in caplog.messages] == ["a step is compiled"]
    assert steps.difference == 0.0


@pytest.mark.parametrize(
    ("make", "changes", "reason"),
    [
        (with_dropout, {}, "the model draws random numbers"),
        (Counts, {}, "a step of the model is not known to run the same operations always"),
        (no_dropout, {"accumulate": 2}, "a step has to be in fp32, of one batch of tensors in"),
        (no_dropout, {"precision": "bf16"}, "a step has to be in fp32, of one batch of tensors in"),
    ],
)
def test_what_is_not_compiled_trains_as_ever_and_the_log_says_why(make, changes, reason, caplog):
    caplog.set_level(logging.INFO, "lrsearch")
    task, recipe, steps = make_task(model=make), make_recipe(**SGD, **changes), CompiledSteps()
    for _ in range(2):
        given, mine = trained(task, steps, recipe)
    wanted, rows = trained(task, None, recipe)
    assert given.engine == "solo"
    assert mine == rows
    assert same_bits(given, wanted)
    (line,) = [line for line in caplog.messages if "compiled" in line]
    assert line.startswith(f"steps are not compiled: {reason}")


class Scaled(Plain):
    """Each model draws a number that no state dict has."""

    def __init__(self):
        super().__init__()
        self.scale = float(torch.rand(())) + 0.5

    def shifted(self, hidden):
        return hidden * self.scale


def test_a_model_that_differs_from_the_compiled_one_does_its_steps_itself(interpreted):
    """Wherever it stands: what is compared are a trial's first steps, so a resumed one agrees."""
    task, steps = make_task(model=Scaled), CompiledSteps()
    assert trained(task, steps, until=1)[0].engine == "compiled"
    other = make_recipe(**SGD, seed=1)
    first, _ = trained(task, steps, other, until=9)
    assert first.engine == "solo"
    assert "a compiled step differs by" in steps.reason
    wanted, _ = trained(task, None, other)
    assert same_bits(trained(task, steps, other, start=first.pack())[0], wanted)


def test_a_program_that_raises_is_not_used(monkeypatch, caplog):
    """As that of an LSTM does in torch 2.13: an operation gives another kind of value."""

    def compile_step(recorded, example, gradients):
        def run(*arguments):
            raise TypeError("expected Tensor()")

        return WrittenStep(run=run, assumed=frozenset())

    monkeypatch.setattr(compiled_step, "compile_step", compile_step)
    caplog.set_level(logging.INFO, "lrsearch")
    task = make_task(model=no_dropout)
    given, _ = trained(task, CompiledSteps(), until=6)
    assert given.engine == "solo"
    assert caplog.messages[-1].startswith("steps are not compiled: TypeError: expected Tensor()")
    assert same_bits(given, trained(task, None, until=6)[0])


def test_without_a_compiler_a_trial_trains_as_ever(monkeypatch, caplog):
    def compile_step(recorded, example, gradients):
        raise InvalidCxxCompiler

    monkeypatch.setattr(compiled_step, "compile_step", compile_step)
    caplog.set_level(logging.INFO, "lrsearch")
    task = make_task(model=no_dropout)
    given, _ = trained(task, CompiledSteps(), until=6)
    assert given.engine == "solo"
    assert same_bits(given, trained(task, None, until=6)[0])
    (line,) = [line for line in caplog.messages if "compile" in line]
    assert line.startswith("steps are not compiled: InvalidCxxCompiler: No working C++ compiler")


@pytest.mark.parametrize("before", [None, "torchinductor_me"])
def test_what_is_compiled_is_kept_where_nobody_else_writes(before, monkeypatch, tmp_path):
    """Unless a folder was named: torch puts its default, in the folder for temporary files, there.

    Other users may write that folder.
    """
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(CACHE, raising=False)
    if before is not None:
        monkeypatch.setenv(CACHE, str(tmp_path / before))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with compiled_step._cache_of_the_user():
        folder = Path(os.environ[CACHE])
    assert folder == tmp_path / "cache" / "lrsearch" / "compiled"
    assert folder.stat().st_mode & 0o077 == 0
    assert os.environ.get(CACHE) == (before and str(tmp_path / before))


def test_a_folder_that_was_named_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE, str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with compiled_step._cache_of_the_user():
        assert os.environ[CACHE] == str(tmp_path / "mine")
    assert not (tmp_path / "cache").exists()


def double_task():
    """Without batch normalisation, which makes noise of gradients that are 0."""
    train, validation = ((x.double(), y) for x, y in (TRAIN, VALIDATION))
    return make_task(model=tanh_model, train=train, validation=validation)


def tanh_model():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()


@pytest.mark.slow
def test_compiled_steps_equal_the_models_to_rounding_and_resume_to_the_bit():
    """By the real compiler: seconds where an earlier run has left what it compiled."""
    task, recipe = double_task(), make_recipe(**SGD, epochs=20)
    steps = CompiledSteps()
    given, rows = trained(task, steps, recipe)
    assert (given.engine, steps.reason) == ("compiled", None)
    wanted, _ = trained(task, None, recipe)
    for mine, theirs in zip(given.parameters, wanted.parameters, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    first, early = trained(task, steps, recipe, until=57)
    # Another process would compile anew, or load what was compiled.
    resumed, late = trained(task, CompiledSteps(), recipe, start=first.pack())
    assert resumed.engine == "compiled"
    assert same_bits(resumed, given)
    assert early + late == rows


@pytest.mark.slow
def test_another_process_compiles_the_same_program(tmp_path):
    """Into a cache of its own: nothing that was compiled before is loaded."""
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent), *sys.path])
    found = subprocess.run(
        [sys.executable, "-c", f"import {HERE.stem}; {HERE.stem}.print_weights()"],
        env={**os.environ, CACHE: str(tmp_path), "PYTHONPATH": path},
        capture_output=True,
        check=True,
    )
    theirs = pickle.loads(bytes.fromhex(found.stdout.decode().splitlines()[-1]))
    assert all(map(torch.equal, theirs, weights_of_a_trial()))


def print_weights():
    print(pickle.dumps(weights_of_a_trial()).hex())


def weights_of_a_trial():
    task = make_task(model=no_dropout)
    training, _ = trained(task, CompiledSteps(), make_recipe(**FUSED))
    assert training.engine == "compiled"
    return [parameter.detach() for parameter in training.parameters]
