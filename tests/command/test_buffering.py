"""Output that is kept back until the end."""

import os
import subprocess
import sys
import time

import pytest

from lrsearch.command.buffering import advice, held_back

PYTHON = ["python", "train.py"]


def test_reports_that_come_one_by_one_are_not_held_back():
    assert held_back([0.1, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 3.1, PYTHON) is None


def test_reports_that_come_together_at_the_end_are_held_back():
    line = held_back([3.0] * 9, [3.0, 3.0, 3.01], 3.02, PYTHON)
    assert line == (
        "all 3 reports came together after 3.0 of 3.0 seconds: the output is kept in a buffer, so "
        "nothing can be pruned; write python -u, or print(..., flush=True)"
    )
    assert "; 2 other lines came earlier:" in held_back([0.1, 0.2, 3.0], [3.0, 3.0], 3.0, PYTHON)


def test_one_report_a_short_run_and_reports_before_the_end_say_nothing():
    assert held_back([3.0], [3.0], 3.0, PYTHON) is None
    assert held_back([0.5, 0.5], [0.5, 0.5], 0.5, PYTHON) is None
    assert held_back([1.0, 1.0], [1.0, 1.0], 9.0, PYTHON) is None


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["python", "a.py"], "write python -u, or print"),
        (["env", "A=1", "/usr/bin/python3.12", "a.py"], "write /usr/bin/python3.12 -u"),
        (["python", "-u", "a.py"], "print(..., flush=True) after each validation"),
        (["./train"], "write stdbuf -oL ./train"),
    ],
)
def test_the_advice_is_one_for_the_program(argv, said):
    assert said in advice(argv)


SCRIPT = """
import sys, time
for epoch in range(4):
    time.sleep(0.3)
    print("val", epoch)
"""


@pytest.mark.parametrize(("options", "held"), [([], True), (["-u"], False)])
def test_a_real_python_is_found_out(tmp_path, options, held):
    output = tmp_path / "output"
    argv = [sys.executable, *options, "-c", SCRIPT]
    times, seen, start = [], 0, time.monotonic()
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with (
        output.open("wb") as file,
        subprocess.Popen(argv, stdout=file, env=environment) as child,
    ):
        ended = False
        while not ended:
            ended = child.poll() is not None
            new = output.read_text().count("val") - seen
            times += [time.monotonic() - start] * new
            seen += new
            time.sleep(0.01)
    assert len(times) == 4
    assert (held_back(times, times, time.monotonic() - start, argv) is not None) is held
