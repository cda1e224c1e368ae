"""Memory that a process of training has freed is there for its next tensors."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has these settings")

#: Allocates and frees 96 MB again and again, as a step does. It prints what `prepare_heap` says and
#: how many pages of 4 KB the system gave in ten rounds.
ROUNDS = """
import resource
import torch
from lrsearch.training.heap import prepare_heap

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    held = [torch.ones(6_000_000) for _ in range(4)]
    return sum(float(one[-1]) for one in held)

is_prepared = prepare_heap()
for _ in range(3):
    step()
before = pages()
for _ in range(10):
    step()
print(is_prepared, pages() - before)
"""
#: Prints for how many stretches of addresses large pages are asked for.
STRETCHES = """
from pathlib import Path
from lrsearch.training.heap import prepare_heap

assert prepare_heap()
lines = Path("/proc/self/smaps").read_text().splitlines()
print(sum(line.startswith("VmFlags") and " hg" in line for line in lines))
"""
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")


def run(**environment: str) -> tuple[bool, int]:
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **environment}
    command = [sys.executable, "-c", ROUNDS]
    told = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    is_prepared, pages = told.split()
    return is_prepared == "True", int(pages)


def test_a_prepared_process_takes_no_memory_anew():
    is_prepared, pages = run()
    assert is_prepared
    assert pages < 1_000


@pytest.mark.parametrize(
    "environment",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"},
    ],
)
def test_what_the_environment_sets_up_stays(environment):
    is_prepared, pages = run(**environment)
    assert not is_prepared
    assert pages > 50_000


@pytest.mark.skipif(not LARGE_PAGES.exists(), reason="the kernel has one size of pages")
@pytest.mark.parametrize(("limit", "is_asked"), [("unlimited", True), ("4000000", False)])
def test_large_pages_are_asked_for_unless_addresses_are_limited(limit, is_asked):
    """Under `ulimit -v` the block at the end of the heap would count, used or not."""
    script = f'ulimit -v {limit}; exec "$0" -c "$1"'
    command = ["bash", "-c", script, sys.executable, STRETCHES]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert (int(told) > 0) is is_asked
