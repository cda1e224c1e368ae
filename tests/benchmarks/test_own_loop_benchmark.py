"""benchmarks/own_loop.py runs, and counts the CPU time of everything that a trial starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import command
import psutil
import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
SIDES = {"alone", "train(run)", "command", "Optuna", "Optuna, script"}


def run_script(*options, folder):
    return command.run_script(SCRIPTS / "own_loop.py", *options, folder=folder, seconds=280)


def test_what_cannot_be_measured_is_refused(tmp_path):
    ended = run_script("--rounds", "0", folder=tmp_path)
    assert ended.code == 2
    assert ended.err.strip().endswith("--rounds 0: at least 1 is needed")


def test_the_time_of_a_tree_of_processes_is_that_of_all_in_it(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from own_loop_script import tree_seconds

    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    ended_and_living = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {burn!r}])
child = subprocess.Popen([sys.executable, "-c", {burn + "print(flush=True); input()"!r}],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", ended_and_living], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        child = psutil.Process(int(process.stdout.readline()))
        own, below = psutil.Process(process.pid).cpu_times(), child.cpu_times()
        here = sum((*own[:4], *below[:2]))
        assert tree_seconds(process.pid) == pytest.approx(here, abs=0.05)
        assert here > 0.5
        assert tree_seconds(os.getpid()) > tree_seconds(process.pid)
        process.stdin.close()


@pytest.mark.slow  # it imports torch 14 times
def test_a_search_is_set_beside_the_script_alone_and_beside_optuna(tmp_path):
    ended = run_script("--quick", "--json", folder=tmp_path)
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert set(result) == {"torch", "rounds", "start", "rows"}
    assert set(result["start"]) == {"new_interpreter", "fork"}
    [row] = result["rows"]
    assert set(row["cpu_seconds"]) == set(row["once"]) == SIDES
    assert all(seconds > 0 for seconds in row["cpu_seconds"].values())
    assert len(row["ratios"]) == 5
    for ratio in row["ratios"]:
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
    assert list(tmp_path.iterdir()) == []
