"""Children are ended with everything that they started, whoever dies first."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import child_entries
import psutil
import pytest
from processes import until

from lrsearch.child_process.supervisor import Supervisor, SupervisorError

ENTRIES = child_entries.__file__
#: What ends at once has ended by then, on a busy machine too; no grace here is shorter by mistake.
LONG = 60.0


@pytest.fixture
def supervisor():
    with Supervisor() as one:
        yield one


@pytest.fixture
def start(supervisor, tmp_path):
    def started(*words, **environment):
        return started_by(supervisor, tmp_path, *words, **environment)

    return started


def started_by(supervisor, folder, *words, **environment):
    return supervisor.start(
        [sys.executable, ENTRIES, *words],
        env={**os.environ, **environment},
        cwd=folder,
        output=folder / "output",
    )


def pid_in(path):
    """The pid that a child wrote, once it has."""
    return int(until(lambda: path.exists() and path.read_text()))


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until_gone(*pids):
    until(lambda: not any(map(runs, pids)))


def test_a_program_ends_with_its_status_and_output(supervisor, tmp_path):
    output = tmp_path / "output"
    output.write_text("before\n")
    child = supervisor.start(
        ["sh", "-c", "echo out; echo err >&2; exit 3"],
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        output=output,
    )
    assert child.wait() == 3
    assert child.poll() == 3
    child.end(LONG)
    assert output.read_text() == "before\nout\nerr\n"


def test_waiting_ends_when_the_time_is_over(start):
    child = start("sleep", "pid")
    before = time.monotonic()
    assert child.wait(0.05) is None
    assert time.monotonic() - before < LONG
    assert child.poll() is None


def test_a_child_has_nothing_of_its_parents_but_what_it_is_given(tmp_path):
    """The worker here ignores signals, blocks others, and holds open files without the flag that
    closes them in a new program."""
    worker = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(ENTRIES).parent)!r})
from pathlib import Path
from lrsearch.child_process.supervisor import Supervisor
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGCHLD])
os.set_inheritable(os.open("leak", os.O_CREAT), True)
given = dict(env={{"PATH": os.environ["PATH"], "MINE": "1"}}, cwd=Path("inner"), output=Path("log"))
with Supervisor(env={{"PATH": os.environ["PATH"]}}) as supervisor:
    program = supervisor.start([sys.executable, {ENTRIES!r}, "what_i_am", "program"], **given)
    fork = supervisor.fork("child_entries:what_i_am", ["fork", "a b", "*"], **given)
    assert (program.wait(), fork.wait(), fork.cold) == (0, 0, None), fork.cold
    print(program.pid, fork.pid)
"""
    (tmp_path / "inner").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", worker], cwd=tmp_path, stdout=subprocess.PIPE, check=True, text=True
    )
    for pid, name in zip(ended.stdout.split(), ("program", "fork"), strict=True):
        told = json.loads((tmp_path / "inner" / name).read_text())
        assert told["pid"] == told["session"] == told["group"] == int(pid)
        assert told["folder"] == str(tmp_path / "inner")
        environment = {k: v for k, v in told["environment"].items() if k != "LC_CTYPE"}
        assert environment == {"PATH": os.environ["PATH"], "MINE": "1"}
        assert told["descriptors"] == ["0", "1", "2", "3"]  # 3 lists them
        assert told["stdin"] == ""
        assert told["masks"]["SigBlk"] == 0
        ignored = {signal.SIGPIPE, signal.SIGXFSZ}  # by Python itself
        assert told["masks"]["SigIgn"] == sum(1 << (number - 1) for number in ignored)
        assert told["masks"]["SigCgt"] == 1 << (signal.SIGINT - 1)
    assert told["argv"] == ["fork", "a b", "*"]


def test_what_cannot_be_started_is_named(supervisor, tmp_path):
    (tmp_path / "data").write_text("no program")
    good = {"env": {"PATH": "/bin"}, "cwd": tmp_path, "output": tmp_path / "output"}
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        supervisor.start(["no-such-program"], **good)
    with pytest.raises(PermissionError, match=r"\./data"):
        supervisor.start(["./data"], **good)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        supervisor.start(["true"], **{**good, "cwd": tmp_path / "nowhere"})
    with pytest.raises(NotADirectoryError, match="data/output"):
        supervisor.fork("child_entries:sleep", [], **{**good, "output": tmp_path / "data/output"})
    assert supervisor.start(["true"], **good).wait() == 0


def test_a_child_is_asked_before_it_is_killed(start, tmp_path):
    child = start("tidy", "pid")
    pid_in(tmp_path / "pid")
    child.end(LONG)
    assert child.poll() == 5


def test_a_child_that_does_not_listen_is_killed_after_the_grace(start, tmp_path):
    child = start("deaf", "pid")
    pid_in(tmp_path / "pid")
    before = time.monotonic()
    child.end(0.3)
    assert 0.3 <= time.monotonic() - before < LONG
    assert child.poll() == -signal.SIGKILL
    child.end(0.3)  # ending twice is no harm


def test_a_stopped_child_is_asked_too(start, tmp_path):
    child = start("tidy", "pid")
    os.kill(pid_in(tmp_path / "pid"), signal.SIGSTOP)
    child.end(LONG)
    assert child.poll() == 5


@pytest.mark.parametrize("how", ["parent_of", "daemon_of"])
@pytest.mark.parametrize(("below", "grace"), [("sleep", LONG), ("deaf", 0.2)])
def test_what_a_child_started_ends_with_it(start, tmp_path, how, below, grace):
    child = start(how, "pid", below)
    pids = pid_in(tmp_path / "pid"), pid_in(tmp_path / "pid-below")
    before = time.monotonic()
    child.end(grace)
    assert time.monotonic() - before < LONG / 2  # what listens is not waited for
    assert not any(map(runs, pids))


def test_what_a_child_leaves_behind_lives_until_it_is_ended(start, tmp_path):
    child = start("daemon_of", "pid", "sleep", "and_end")
    assert child.wait() == 0
    left = pid_in(tmp_path / "pid-below")
    time.sleep(0.1)
    assert runs(left)
    child.end(LONG)
    assert not runs(left)


def test_a_process_that_is_never_long_the_same_is_caught(start, tmp_path):
    child = start("daemon_of", "pid", "hopping")
    pid_in(tmp_path / "pid-below")
    child.end(0.0)
    marks = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"])]
    assert [sys.executable, ENTRIES, "daemon_of", "pid", "hopping"] not in marks


def test_ending_one_child_leaves_the_others_daemon_alone(start, tmp_path):
    ended, other = start("daemon_of", "a", "sleep"), start("daemon_of", "b", "sleep")
    kept = pid_in(tmp_path / "b"), pid_in(tmp_path / "b-below")
    pid_in(tmp_path / "a-below")
    ended.end(LONG)
    assert all(map(runs, kept))
    other.end(LONG)
    assert not any(map(runs, kept))


def test_ended_children_leave_nothing_open(supervisor, tmp_path):
    def run():
        child = supervisor.start(
            ["true"], env={"PATH": os.environ["PATH"]}, cwd=tmp_path, output=tmp_path / "output"
        )
        child.end(LONG)
        assert child.ended
        return child.wait()

    run()
    processes = psutil.Process(), psutil.Process(supervisor.pid)
    before = [process.num_fds() for process in processes]
    for _ in range(20):
        assert run() in (0, -signal.SIGTERM)
    until(lambda: not processes[1].children())
    assert [process.num_fds() for process in processes] == before


def test_closing_ends_every_child(tmp_path):
    with Supervisor() as supervisor:
        for name in ("a", "b"):
            started_by(supervisor, tmp_path, "daemon_of", name, "deaf")
        pids = [pid_in(tmp_path / name) for name in ("a", "b", "a-below", "b-below")]
        pids.append(supervisor.pid)
    assert not any(map(runs, pids))


@pytest.mark.parametrize("holds_on", ["", "os.fork() or time.sleep(1000)"])
def test_a_workers_death_ends_its_children(tmp_path, holds_on):
    """Also where another process has the worker's sockets."""
    worker = f"""
import os, sys, time
from pathlib import Path
from lrsearch.child_process.supervisor import Supervisor
supervisor = Supervisor()
here = dict(env=dict(os.environ), cwd=Path.cwd(), output=Path("output"))
words = [sys.executable, {ENTRIES!r}]
children = [supervisor.start([*words, "daemon_of", name, "deaf"], **here) for name in "ab"]
{holds_on}
print(supervisor.pid, flush=True)
time.sleep(1000)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", worker], cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        pids = [pid_in(tmp_path / name) for name in ("a", "b", "a-below", "b-below")]
        pids.append(int(process.stdout.readline()))
        process.kill()
        until_gone(*pids)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_the_supervisors_death_ends_its_children_and_is_said(supervisor, start, tmp_path):
    child = start("daemon_of", "pid", "deaf")
    pids = pid_in(tmp_path / "pid"), pid_in(tmp_path / "pid-below")
    os.kill(supervisor.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(SupervisorError, match="the process that starts trials was killed"):
            child.wait()
    child.end(0.1)
    assert not any(map(runs, pids))
    with pytest.raises(SupervisorError, match=rf"\({supervisor.pid}\) was ended by SIGKILL"):
        start("sleep", "pid")


def test_a_watchers_death_ends_its_child_alone(supervisor, start, tmp_path):
    child, other = start("daemon_of", "a", "deaf"), start("sleep", "b")
    pids = pid_in(tmp_path / "a"), pid_in(tmp_path / "a-below")
    os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(SupervisorError, match=rf"watches trial process {child.pid} is dead"):
            child.wait()
    until_gone(*pids)
    assert runs(pid_in(tmp_path / "b"))
    assert other.poll() is None
    assert start("tidy", "c").poll() is None


def test_helpers_are_deaf_to_what_a_shell_sends_to_all(supervisor, start, tmp_path):
    """Who asks every process of a job to end, as batch systems do, asks the worker; it decides."""
    child = start("deaf", "pid")
    pid_in(tmp_path / "pid")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for pid in (supervisor.pid, psutil.Process(child.pid).ppid()):
            os.kill(pid, number)
    time.sleep(0.1)
    assert child.poll() is None
    child.end(0.0)
    assert child.poll() == -signal.SIGKILL
