"""A fork server's forks begin at once, tell how they end, and outlive the server in order."""

import os
import signal
import subprocess
from pathlib import Path

import child_entries
import psutil
import pytest
from processes import PATIENCE_SECONDS, until

from lrsearch.child_process.fork_server import UNKNOWN_STATUS, ForkServer, NotForkedError

FOLDER = Path(child_entries.__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER), *os.sys.path])}
ENVIRONMENT.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)  # set where a test has imported Lightning


@pytest.fixture
def server():
    with ForkServer(ENVIRONMENT) as one:
        one.imports(["child_entries"])
        yield one


@pytest.fixture
def fork(server, tmp_path):
    def begun(name, *argv, on=None, **env):
        argv = [str(word) for word in argv]
        with (tmp_path / "errors").open("wb") as errors:
            return (
                (on or server)
                .fork(
                    f"child_entries:{name}",
                    argv,
                    env={**ENVIRONMENT, **env},
                    errors=errors.fileno(),
                )
                .forked()
            )

    return begun


def test_a_fork_tells_its_status(fork):
    assert fork("interrupts_itself").wait(PATIENCE_SECONDS) == 7


def test_an_error_goes_to_the_file_that_was_given(fork, tmp_path):
    assert fork("fails", "luck").wait(PATIENCE_SECONDS) == 1
    assert (tmp_path / "errors").read_text().endswith("ValueError: no luck\n")


def test_a_crash_is_a_negative_status(fork):
    assert fork("dies").wait(PATIENCE_SECONDS) == -signal.SIGSEGV


def test_a_fork_is_waited_for_and_killed(fork, tmp_path):
    sleeper = fork("sleep", tmp_path / "asleep")
    assert sleeper.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.01)
    sleeper.kill()
    assert sleeper.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    sleeper.send_signal(signal.SIGTERM)  # which it cannot get any more
    assert sleeper.poll() == -signal.SIGKILL


def test_a_fork_has_a_session_of_its_own_and_the_server_as_its_parent(fork, server, tmp_path):
    sleeper = fork("sleep", tmp_path / "asleep")
    until((tmp_path / "asleep").exists)
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert psutil.Process(sleeper.pid).ppid() == server.pid
    sleeper.kill()
    sleeper.wait(PATIENCE_SECONDS)


def test_a_fork_lives_on_when_its_server_is_killed(fork, server, tmp_path):
    sleeper = fork("sleep", tmp_path / "asleep")
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: psutil.Process(sleeper.pid).ppid() != server.pid)
    assert sleeper.poll() is None
    sleeper.kill()
    assert sleeper.wait(PATIENCE_SECONDS) == UNKNOWN_STATUS
    with pytest.raises(NotForkedError, match="has ended"):
        fork("sleep", tmp_path / "asleep")


def test_what_an_interpreter_reads_at_its_start_cannot_be_changed(fork):
    with pytest.raises(NotForkedError, match="OMP_NUM_THREADS is read when an interpreter starts"):
        fork("sleep", OMP_NUM_THREADS="7")


def test_what_runs_threads_is_not_forked(fork):
    with ForkServer(ENVIRONMENT) as server:
        server.imports(["starts_a_thread"])
        with pytest.raises(NotForkedError, match="runs 1 threads"):
            fork("sleep", on=server)


def test_a_server_that_still_imports_is_ended():
    server = ForkServer(ENVIRONMENT)
    server.imports(["torch", "child_entries"])
    server.close()
    assert not psutil.pid_exists(server.pid)
