"""Devices are asked of a process that is given up when it hangs."""

import json
import sys
import time

import pytest

from lrsearch.doctor.devices import Device, Seen, devices

GPU = {"device": "cuda:0", "name": "NVIDIA H200", "total": 100 * 2**30, "free": 99 * 2**30}


def printing(**seen):
    nothing = {"devices": [], "threads": 1, "cuda_build": None, "triton": False}
    return (sys.executable, "-c", f"print('a banner'); print({json.dumps({**nothing, **seen})!r})")


def told(**options):
    return [(found.state, found.text, found.advice) for found in devices(**options)]


def test_a_driver_that_hangs_is_a_problem_within_the_time_given():
    started = time.monotonic()
    ((state, text, _),) = told(
        seconds=0.3, probe=(sys.executable, "-c", "import time; time.sleep(60)")
    )
    assert (state, text) == ("problem", "torch has not answered in 0.3 s")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('libcudart.so is missing')", "ImportError: libcudart.so is missing"),
        ("import os; os._exit(11)", "it ended with 11"),
        ("print('[]')", "it ended with 0"),
    ],
)
def test_a_torch_that_does_not_start_is_a_problem_with_its_reason(code, reason):
    ((state, text, _),) = told(probe=(sys.executable, "-c", code))
    assert (state, text) == ("problem", f"torch does not start: {reason}")


def test_an_accelerator_is_named_with_its_memory():
    first, *_ = told(probe=printing(devices=[GPU], cuda_build="12.8", triton=True))
    assert first == ("ok", "cuda:0: NVIDIA H200, 99 GiB of 100 GiB free", "")


def test_an_accelerator_that_is_full_is_a_note():
    first, *_ = told(probe=printing(devices=[{**GPU, "free": 2**30}]))
    assert first[0] == "note"


def test_a_torch_for_cuda_that_sees_no_gpu_is_a_note():
    first, *_ = told(probe=printing(cuda_build="12.8"))
    assert first[:2] == ("note", "torch was built for CUDA 12.8, but sees no GPU")


def test_more_threads_than_cores_are_a_note():
    assert any("OMP_NUM_THREADS" in advice for *_, advice in told(probe=printing(threads=4096)))


def test_a_missing_compiler_is_a_note(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert told(probe=printing())[-1][:2] == ("note", "torch.compile: no C++ compiler")


def test_the_real_probe_answers():
    assert not [text for state, text, _ in told() if state == "problem"]


def test_what_the_probe_prints_is_read_from_its_last_line():
    seen = Seen(devices=[Device(**GPU)], threads=2, cuda_build="12.8", triton=True)
    line = json.dumps({"devices": [GPU], "threads": 2, "cuda_build": "12.8", "triton": True})
    assert Seen.read(f"a driver's words\n{line}\n") == seen
