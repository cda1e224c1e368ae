"""A task that is tried in a fork: the same study, words and errors as one that is tried here."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import fields

import click
import pytest
from processes import until

from lrsearch.child_process.fork_server import NotForkedError
from lrsearch.cli.check_in_fork import check_in_fork, may_be_tried
from lrsearch.errors import LrsearchError
from lrsearch.preflight.study_file import check_spec, read_study_file
from lrsearch.training.devices import local_workers
from lrsearch.worker.forks import WorkerForks

STUDY = """\
name: tried
task: tried.py:task
epochs: 2
budget: {trials: 2}
objective: val_loss
"""
TASK = """\
import os, signal, sys, time
from pathlib import Path
import torch
import lrsearch

def task() -> lrsearch.Task:
    BODY
    data = torch.arange(64.0).reshape(32, 2) / 64, torch.arange(32) % 2
    return lrsearch.Task(
        model=lambda: torch.nn.Linear(2, 2), train=data, validation=data,
        loss=torch.nn.functional.cross_entropy, batch_size=8,
    )
"""


@pytest.fixture(scope="module")
def forks():
    with WorkerForks() as one:
        one.start()
        yield one


@pytest.fixture
def study(tmp_path):
    def written(body="pass", more=""):
        (tmp_path / "tried.py").write_text(TASK.replace("BODY", body))
        (tmp_path / "tried.yaml").write_text(STUDY + more)
        return tmp_path / "tried.yaml"

    return written


@pytest.fixture
def tried(forks):
    """What the fork says of a study file."""

    def checked(path, device="cpu", on=None):
        spec = read_study_file(path)
        forks.begin(spec, path.parent)
        with click.Context(click.Command("run")).scope():
            return check_in_fork(
                spec, path, device=device, forks=on or forks, meanwhile=lambda: None
            )

    return checked


def test_it_finds_what_a_check_in_this_process_finds(study, tried):
    path = study()
    there, here = tried(path), check_spec(read_study_file(path), path, device="cpu")
    for field in fields(here):
        if field.name not in ("loaded", "task"):
            assert getattr(there, field.name) == getattr(here, field.name), field.name
    assert (there.loaded.code, there.loaded.commit) == (here.loaded.code, here.loaded.commit)
    assert there.batch_size == 8


def test_it_looks_for_the_devices_of_workers(study, tried, forks):
    tried(study(), device="auto")
    assert forks.devices == local_workers()
    tried(study(), device="cpu")
    assert not forks.devices


def test_what_the_task_prints_is_printed(study, tried, capfd):
    tried(study("print('here I am'); print('and here', file=sys.stderr)"))
    out, err = capfd.readouterr()
    assert (out, err) == ("here I am\n", "and here\n")


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("raise ValueError('no data')", ""),
        ("sys.exit(3)", ""),
        ("import no_such_module", ""),
        ("return 7", ""),
        (
            "pass",
            "space: {optimizers: {sgd: {}}, schedules: {constant: {}}, params: {width: [1]}}\n",
        ),
    ],
)
def test_an_error_is_the_same_line(study, tried, body, more):
    path = study(body, more)
    with pytest.raises(LrsearchError) as here:
        check_spec(read_study_file(path), path, device="cpu")
    with pytest.raises(type(here.value)) as there:
        tried(path)
    assert str(there.value) == str(here.value)


def test_a_device_that_is_not_there_is_the_same_line(study, tried):
    with pytest.raises(LrsearchError, match="--device cuda:99: no such device here"):
        tried(study(), device="cuda:99")


def test_a_task_that_ends_its_process_is_an_error_in_one_line(study, tried):
    with pytest.raises(LrsearchError, match=r"tried.py:task: its process was ended with status 5"):
        tried(study("os._exit(5)"))
    with pytest.raises(LrsearchError, match="was ended by SIGSEGV before it had trained"):
        tried(study("signal.signal(signal.SIGSEGV, signal.SIG_DFL); os.kill(os.getpid(), 11)"))


def test_what_is_no_error_of_a_task_keeps_its_traceback(study, tried, capfd):
    with pytest.raises(SystemExit) as ending:
        tried(study("raise type('Odd', (BaseException,), {})('one')"))
    assert ending.value.code == 1
    assert capfd.readouterr().err.endswith("Odd: one\n")


@pytest.fixture
def heard():
    """Ctrl-C, which is ignored where a shell started the tests beside it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_interrupts_the_task(study, tried, tmp_path):
    path = study(
        "here = Path(__file__).parent\n"
        "    (here / 'begun').write_text('')\n"
        "    try:\n"
        "        time.sleep(1000)\n"
        "    finally:\n"
        "        (here / 'ended').write_text('')\n"
    )

    def interrupt():
        until((tmp_path / "begun").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        tried(path)
    thread.join()
    assert (tmp_path / "ended").exists()


def test_without_room_for_the_question_or_the_answer_there_is_no_check(study, tried, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkdtemp", full)
        with pytest.raises(NotForkedError, match="No space left on device"):
            tried(study())
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    with pytest.raises(NotForkedError, match="write its answer"):
        tried(study(limit))


def test_without_a_process_to_fork_there_is_no_check(study, tried):
    with WorkerForks() as none, pytest.raises(NotForkedError):
        tried(study(), on=none)


def test_a_study_whose_own_code_the_command_needs_is_not_tried_in_a_fork(study):
    assert may_be_tried(read_study_file(study()))
    assert not may_be_tried(read_study_file(study(more="warm_start: [earlier]\n")))


#: The command line; whether it has loaded PyTorch itself goes to a file.
RUNNER = """
import sys
from pathlib import Path
from lrsearch.cli import main
_, file, *words = sys.argv
sys.argv = ["lrsearch", *words]
try:
    main()
finally:
    Path(file).write_text(str("torch" in sys.modules))
"""


def run(path, *words):
    """`lrsearch run` in a new interpreter: how it ended, and whether it has loaded PyTorch."""
    loaded = path.parent / "loaded"
    ended = subprocess.run(
        [sys.executable, "-c", RUNNER, loaded, "run", path, "--workers", "1", *words],
        cwd=path.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    return ended, loaded.read_text()


def test_a_command_trains_a_study_without_loading_torch(study):
    path = study("print('from the task')", "range_test: none\nconfirm: none\n")
    ended, loaded = run(path)
    assert (ended.returncode, loaded) == (0, "False"), ended.stderr
    assert ended.stdout.startswith("from the task\nstorage: ")
    warning = "warning: train and validation have the same data"
    assert ended.stderr.startswith(f"loading PyTorch ...\n{warning}")
    assert (path.parent / "tried-report" / "report.html").is_file()


def test_a_command_ends_with_the_error_of_the_task(study):
    path = study("raise ValueError('no data')")
    ended, loaded = run(path)
    assert (ended.returncode, loaded) == (1, "False")
    assert ended.stderr == (
        f"loading PyTorch ...\nError: {path}: task tried.py:task raised ValueError: no data\n"
    )
    assert not (path.parent / "lrsearch.db").exists()
