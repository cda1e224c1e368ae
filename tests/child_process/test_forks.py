"""A fork of the warm process behaves as a new interpreter does, sooner."""

import json
import os
import signal
from pathlib import Path

import child_entries
import pytest
from processes import PATIENCE_SECONDS

from lrsearch.child_process.supervisor import Supervisor

FOLDER = Path(child_entries.__file__).parent
#: What the tests' fork and a new interpreter have in common.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER), *os.sys.path])}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)
ENVIRONMENT.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)  # set where a test has imported Lightning


@pytest.fixture(scope="module")
def warm():
    with Supervisor(warm=["torch", "torch._dynamo", "child_entries"], env=ENVIRONMENT) as one:
        yield one


@pytest.fixture(scope="module")
def cold():
    """Starts a new interpreter for each child."""
    with Supervisor(warm=["starts_a_thread"], env=ENVIRONMENT) as one:
        yield one


@pytest.fixture(scope="module", autouse=True)
def _modules():
    """The supervisor finds modules where this process does."""
    os.sys.path.insert(0, str(FOLDER))
    yield
    os.sys.path.remove(str(FOLDER))


@pytest.fixture(params=["warm", "cold"])
def fork(request, tmp_path):
    supervisor = request.getfixturevalue(request.param)

    def ended(name, *argv, env=ENVIRONMENT, status=0):
        output = tmp_path / "output"
        entry = f"child_entries:{name}"
        child = supervisor.fork(entry, argv, env=env, cwd=tmp_path, output=output)
        assert (child.cold is None) == (request.param == "warm"), child.cold
        assert child.wait(PATIENCE_SECONDS) == status, output.read_text()
        child.end(10)
        return output.read_text()

    return ended


def test_the_result_is_the_status(fork):
    assert fork("interrupts_itself", status=7) == ""


def test_leaving_with_words_prints_them(fork):
    assert fork("leaves", status=1) == "it is over\n"


def test_an_error_is_printed_whole(fork):
    printed = fork("fails", "luck", status=1)
    assert printed.startswith("Traceback")
    assert printed.endswith("ValueError: no luck\n")


def test_an_entry_that_is_not_there_is_an_error_of_the_child(fork):
    assert "AttributeError: module 'child_entries' has no attribute 'x'" in fork("x", status=1)


def test_a_crash_hurts_nobody(fork):
    fork("dies", status=-signal.SIGSEGV)
    fork("leaves_things_open")


def test_the_end_is_in_order(fork, tmp_path):
    assert fork("leaves_things_open") == "printed"
    assert (tmp_path / "unclosed").read_text() == "written"
    assert (tmp_path / "atexit").read_text() == "ran"


def test_children_see_nothing_of_each_other(fork, tmp_path):
    for name in ("first", "second"):
        fork("keeps", name)
        assert json.loads((tmp_path / name).read_text())[-1] is None


def test_what_is_warm_was_imported_once(warm, tmp_path):
    told = []
    for name in ("first", "second"):
        child = warm.fork(
            "child_entries:keeps", [name], env=ENVIRONMENT, cwd=tmp_path, output=tmp_path / "output"
        )
        assert child.wait(PATIENCE_SECONDS) == 0
        told.append(json.loads((tmp_path / name).read_text()))
    assert told[0][0] == told[1][0] == warm.pid
    assert told[0][1] != told[1][1]


def test_the_environment_is_the_childs_in_c_too(fork, tmp_path):
    fork("environment_in_c", "file", env={**ENVIRONMENT, "MINE": "1"})
    lines = (tmp_path / "file").read_text().splitlines()
    assert "MINE=1" in lines
    assert not [line for line in lines if line.startswith("PYTORCH_NVML_BASED_CUDA_CHECK")]


def test_unseeded_generators_differ_between_children(fork, tmp_path):
    drawn = []
    for name in ("first", "second"):
        fork("draws", name)
        drawn += json.loads((tmp_path / name).read_text())
    assert len(set(drawn)) == 4


def test_multiprocessing_spawns_from_it(fork, tmp_path):
    fork("runs_elsewhere", "file")
    assert (tmp_path / "file").read_text() == "True"


def test_training_gives_the_same_bits_in_a_fork_and_in_a_new_interpreter(warm, cold, tmp_path):
    digests = []
    for supervisor, name, seed in ((warm, "a", 1), (cold, "b", 1), (warm, "c", 2)):
        child = supervisor.fork(
            "child_entries:trains",
            [name, str(seed)],
            env=ENVIRONMENT,
            cwd=tmp_path,
            output=tmp_path / "output",
        )
        assert child.wait(PATIENCE_SECONDS) == 0, (tmp_path / "output").read_text()
        child.end(10)
        digests.append((tmp_path / name).read_text())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_what_a_killed_child_printed_is_there(fork, unbuffered):
    """Whole lines, and all of it where the child is not to buffer: a fork follows that variable."""
    printed = fork("prints_and_dies", env={**ENVIRONMENT, **unbuffered}, status=-signal.SIGKILL)
    assert printed == ("a line\nhalf a" if unbuffered else "a line\n")


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "PYTHONHASHSEED", "LD_LIBRARY_PATH"])
def test_an_environment_that_a_fork_cannot_have_takes_a_new_interpreter(warm, tmp_path, name):
    child = warm.fork(
        "child_entries:environment_in_c",
        ["file"],
        env={**ENVIRONMENT, name: "3"},
        cwd=tmp_path,
        output=tmp_path / "output",
    )
    assert child.cold == f"{name} is read when an interpreter starts, and differs from the worker's"
    assert child.wait(PATIENCE_SECONDS) == 0
    assert f"{name}=3" in (tmp_path / "file").read_text().splitlines()


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("starts_a_thread", "what was imported runs 1 threads"),
        ("cannot_be_imported", "importing cannot_be_imported failed: ZeroDivisionError: "),
        ("no_such_module", None),
    ],
)
def test_forks_are_offered_where_they_are_sound(tmp_path, module, why):
    """A module that is missing is left to the script, which will say so."""
    with Supervisor(warm=[module], env=ENVIRONMENT) as supervisor:
        child = supervisor.fork(
            "child_entries:draws", ["file"], env=ENVIRONMENT, cwd=tmp_path, output=tmp_path / "out"
        )
        assert child.cold == why if why is None else child.cold.startswith(why)
        assert child.wait(PATIENCE_SECONDS) == 0
