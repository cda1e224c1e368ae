"""A trial of two processes on a CPU: the weights of one device, to the bit after an interruption.

A process is a Python of its own, so all tests share one, and every task is one of `shared.py`.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small import CPU

from lrsearch.errors import DeviceError, SpecError, TaskError
from lrsearch.fusing import fuse_option
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.find import load_task
from lrsearch.training import devices
from lrsearch.training.data_parallel.check import check_devices
from lrsearch.training.data_parallel.engine import DataParallelEngine
from lrsearch.training.data_parallel.processes import processes_of
from lrsearch.training.engine import SoloEngine
from lrsearch.training.failures import ProcessKilledError, TrialFailedError
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training import wants_average

TASKS = Path(__file__).parents[1] / "tasks"
LOADED = load_task("shared.py:task", TASKS)
#: In double precision two sums of the same terms differ by less.
CLOSE = {"rtol": 0, "atol": 1e-10}


def spec(**changes):
    fields = {
        "name": "shared",
        "task": "shared.py:task",
        "epochs": 2,
        "devices_per_trial": 2,
        "budget": {"trials": 2},
        "space": {"optimizers": {"sgd": {}}, "params": {"source": "tensors"}},
    }
    return StudySpec.from_dict({**fields, **changes})


def recipe(params=None, **changes):
    fields = {
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "epochs": 2,
        "ema": {"epochs": 1.0},
        "schedule": {"name": "plateau", "patience": 0},
        "clip_norm": 1.0,
        "params": params or {},
    }
    return Recipe.from_dict({**fields, **changes})


@pytest.fixture(scope="module")
def cache():
    return TaskCache(LOADED, CPU)


@pytest.fixture(scope="module")
def processes(cache):
    with processes_of(spec(), LOADED, CPU, [TASKS]) as found:
        yield found


def train(engine, one, until=None, state=None):
    """Train up to a step, from a checkpoint if one is given; the training and its validations."""
    training = engine.admit(one)
    if state is not None:
        assert training.unpack(state) is not None
    rows = []
    while training.step < (until or training.plan.total_steps) and training.diverged is None:
        engine.advance(until - training.step if until else 100)
        rows += engine.validate(engine.due(), with_ema=wants_average)
    engine.drop(training)
    return training, rows


def weights(training):
    return torch.cat([p.detach().flatten() for p in training.model.parameters()])


@pytest.mark.parametrize(
    ("params", "changes"),
    [
        ({}, {}),
        ({}, {"accumulate": 2, "optimizer": {"name": "adamw", "lr": 0.01}}),
        ({"source": "dataset"}, {}),
        ({"source": "loader", "loss": "pair"}, {"accumulate": 2}),
        ({"source": "stream", "loss": "sum"}, {}),
    ],
)
def test_the_weights_are_those_of_one_device(processes, cache, params, changes):
    one = recipe(params, **changes)
    alone, expected = train(SoloEngine(spec(), cache), one)
    shared, rows = train(DataParallelEngine(spec(), cache, processes), one)
    torch.testing.assert_close(weights(shared), weights(alone), **CLOSE)
    assert len(rows) == len(expected) > 1
    for mine, theirs in zip(rows, expected, strict=True):
        for name in ("train_loss", "val_loss", "lr", "grad_norm"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-10), name
    assert shared.start_loss == pytest.approx(alone.start_loss, rel=1e-12)


def test_a_resumed_trial_goes_on_to_the_same_bits(processes, cache):
    one, engine = recipe({"dropout": 0.3}), DataParallelEngine(spec(), cache, processes)
    through, rows = train(engine, one)
    interrupted, before = train(engine, one, until=7)
    resumed, rest = train(engine, one, state=interrupted.pack())
    assert torch.equal(weights(resumed), weights(through))
    assert [row.val_loss for row in [*before, *rest]] == [row.val_loss for row in rows]


def test_processes_draw_random_numbers_of_their_own(processes, cache):
    """Else both would drop the same units, each of its own half."""
    engine, one = DataParallelEngine(spec(), cache, processes), recipe({"dropout": 0.3})
    training = engine.admit(one)
    [other] = training.random_states()
    assert not torch.equal(other.rng, torch.get_rng_state())
    engine.drop(training)


def test_a_checkpoint_of_one_device_is_not_gone_on_with(processes, cache, caplog):
    alone, _ = train(SoloEngine(spec(), cache), recipe(), until=3)
    training = DataParallelEngine(spec(), cache, processes).admit(recipe())
    assert training.unpack(alone.pack()) is None
    assert "made with another processes" in caplog.text


@pytest.mark.parametrize(
    ("word", "error", "told"),
    [
        ("SIGKILL", ProcessKilledError, "process 1 of it was killed"),
        ("raise", TrialFailedError, "ValueError: the second half is bad"),
        ("SIGSEGV", TrialFailedError, "process 1 of it ended with status -11"),
    ],
)
def test_the_end_of_a_process_ends_the_others_and_the_next_trial_has_new_ones(
    processes, cache, tmp_path, word, error, told
):
    file = tmp_path / "word"
    one = recipe({"loss": "troubled", "file": str(file)})
    engine = DataParallelEngine(spec(), cache, processes)
    training = engine.admit(one)
    [pid] = [process.child.pid for process in processes._running]
    file.write_text(word)
    with pytest.raises(error, match=told) as raised:
        engine.advance(5)
    assert isinstance(raised.value, ProcessKilledError) == (error is ProcessKilledError)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    engine.drop(training)
    assert not file.exists()
    alone, _ = train(SoloEngine(spec(), cache), one)
    torch.testing.assert_close(weights(train(engine, one)[0]), weights(alone), **CLOSE)


def test_a_process_that_does_not_answer_is_ended(processes, cache, tmp_path, monkeypatch):
    """Within `lease.stall`, after which the worker that waits loses its trial as well."""
    processes.end()
    monkeypatch.setattr(processes, "setup", replace(processes.setup, seconds=2.0))
    file = tmp_path / "word"
    file.write_text("SIGSTOP")
    engine = DataParallelEngine(spec(), cache, processes)
    engine.admit(recipe({"loss": "troubled", "file": str(file)}))
    with pytest.raises(ProcessKilledError, match="a process of it does not answer"):
        engine.advance(5)


def test_another_version_of_the_task_is_refused(processes, cache, monkeypatch):
    processes.end()
    other = replace(processes.setup, code={"shared.py": "0" * 64})
    monkeypatch.setattr(processes, "setup", other)
    with pytest.raises(TrialFailedError, match=r"no task shared\.py:task with the study's code"):
        DataParallelEngine(spec(), cache, processes).admit(recipe())


def test_a_task_that_cannot_be_shared_is_refused_in_one_line():
    with pytest.raises(TaskError, match=r"model's norm normalises over the batch.*GroupNorm"):
        check_devices(LOADED.make({"norm": True}), spec(), CPU)
    with pytest.raises(TaskError, match="a batch has 15 samples, fewer than devices_per_trial"):
        check_devices(LOADED.make({}), spec(devices_per_trial=16), CPU)
    carries = replace(LOADED.make({"loss": "pair"}), carry=lambda model: None)
    with pytest.raises(TaskError, match="the task has carry"):
        check_devices(carries, spec(), CPU)
    [note] = check_devices(LOADED.make({}), spec(), CPU)
    assert note == "a trial is trained by 2 processes on the CPU, each on a part of a batch"


def test_a_study_that_cannot_have_it_is_refused_in_one_line():
    with pytest.raises(SpecError, match="imports the task, so give it as FILE"):
        spec(task="live:task")
    with pytest.raises(SpecError, match="launch starts several processes of a script"):
        spec(task=None, train="train.py", ema=None, range_test="none", space={"params": {}})
    with pytest.raises(SpecError, match="--fuse 2: devices_per_trial = 2, which all train one"):
        fuse_option.check(spec(), 2)


def test_workers_take_the_devices_in_groups(monkeypatch):
    four = [f"cuda:{index}" for index in range(4)]
    monkeypatch.setattr(devices, "devices", lambda: four)
    assert devices.local_workers(2) == ["cuda:0", "cuda:2"]
    assert devices.local_workers(3) == ["cuda:0"]
    second = torch.device("cuda:2")
    assert list(map(str, devices.devices_of_trial(second, 2))) == ["cuda:2", "cuda:3"]
    with pytest.raises(DeviceError, match="from cuda:2 on there is no cuda:4; found cuda:0, cuda"):
        devices.devices_of_trial(second, 3)
    with pytest.raises(DeviceError, match="devices_per_trial = 8"):
        devices.local_workers(8)
