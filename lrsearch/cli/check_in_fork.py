"""A study's task, tried in a fork of the process that imports for its workers.

The command itself then loads no PyTorch, and goes on with other things meanwhile.
"""

import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.child_process import linux
from lrsearch.child_process.fork_server import Forked, NotForkedError
from lrsearch.cli import logs
from lrsearch.cli.study_file import what_it_imports
from lrsearch.errors import LrsearchError, TaskError

if TYPE_CHECKING:
    from lrsearch.preflight.checked import Checked
    from lrsearch.spec.study_spec import StudySpec
    from lrsearch.worker.forks import WorkerForks

ENTRY = "lrsearch.cli.check_in_fork:be_a_check"
#: A task that is interrupted has so long to end itself.
INTERRUPT_SECONDS = 5.0
#: Between two looks for an answer.
LOOK_SECONDS = 0.02
QUESTION, ANSWER = "question", "answer"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the fork checks, and how it logs."""

    spec: "StudySpec"
    path: Path
    device: str
    verbose: int
    log_file: Path | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the fork has found: a study, or an error; neither where a traceback was printed."""

    checked: "Checked | None" = None
    #: On which the study's workers are started; empty where the command names one.
    devices: Sequence[str] = ()
    error: LrsearchError | None = None


def may_be_tried(spec: "StudySpec") -> bool:
    """Whether the command needs no more of the study's code than that it trains."""
    return spec.task is not None and not spec.own_names() and not spec.warm_start


def check_in_fork(
    spec: "StudySpec",
    path: Path,
    *,
    device: str,
    forks: "WorkerForks",
    meanwhile: Callable[[], None],
) -> "Checked":
    """As `preflight.study_file.check_spec`, of a study that `may_be_tried`; without its task.

    `meanwhile` is called while the fork works. Raises NotForkedError where there is no fork, or no
    room on the disk for its answer.
    """
    context = click.get_current_context()
    log_file = context.meta.get("log_file")
    question = Question(
        spec=spec,
        path=path,
        device=device,
        verbose=context.meta.get("verbose", 0),
        log_file=None if log_file is None else Path(log_file).absolute(),
    )
    with ExitStack() as stack:
        folder = _folder_with(question, stack)
        sys.stdout.flush()
        asked = forks.ask(ENTRY, [str(folder)], errors=2, output=1)
        forks.go_on()
        meanwhile()
        child = asked.forked()
        _wait(child, folder / ANSWER)
        answer = _answer(child, folder / ANSWER, f"{path}: {spec.task}")
    if answer.error is not None:
        raise answer.error
    if answer.checked is None:
        raise SystemExit(1)
    forks.devices = answer.devices
    return answer.checked


def _folder_with(question: Question, stack: ExitStack) -> Path:
    """A temporary folder that is removed with `stack`."""
    try:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lrsearch-")))
        (folder / QUESTION).write_bytes(pickle.dumps(question))
    except OSError as error:
        raise NotForkedError(f"it cannot be asked: {error}") from error
    return folder


def _wait(child: Forked, answer: Path) -> None:
    """Until it has answered or ended; Ctrl-C interrupts it, too."""
    try:
        while not answer.exists() and not child.has_ended(LOOK_SECONDS):
            continue
    except BaseException:
        child.send_signal(signal.SIGINT)
        if not child.has_ended(INTERRUPT_SECONDS):
            child.kill()
        raise


def _answer(child: Forked, file: Path, where: str) -> Answer:
    if file.exists():
        answer: Answer = pickle.loads(file.read_bytes())
        return answer
    status = child.wait()
    if status == os.EX_IOERR:
        raise NotForkedError("it cannot write its answer")
    ended = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
    return Answer(
        error=TaskError(f"{where}: its process was ended {ended} before it had trained one batch")
    )


def be_a_check(argv: Sequence[str]) -> int:
    """Answer the question that lies in the folder `argv[0]`; the exit status."""
    linux.die_with(os.getppid(), signal.SIGKILL)
    folder = Path(argv[0])
    question = pickle.loads((folder / QUESTION).read_bytes())
    logs.configure(question.verbose, question.log_file)
    try:
        answer = _checked(question)
    except LrsearchError as error:
        answer = Answer(error=type(error)(str(error)))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        answer = Answer()
    sys.stdout.flush()
    part = folder / f"{ANSWER}.part"
    try:
        part.write_bytes(pickle.dumps(answer))
    except OSError:
        return os.EX_IOERR
    part.replace(folder / ANSWER)
    return 0


def _checked(question: Question) -> Answer:
    from lrsearch.preflight.study_file import check_spec
    from lrsearch.task.task import LoadedCode
    from lrsearch.training.devices import local_workers

    spec, path = question.spec, question.path
    with what_it_imports(path):
        checked = check_spec(spec, path, device=question.device)
    loaded = checked.loaded
    code = LoadedCode(reference=loaded.reference, source=loaded.source, code=loaded.code)
    per_trial = spec.devices_per_trial
    devices = local_workers(per_trial) if question.device == "auto" else ()
    return Answer(checked=replace(checked, loaded=code, task=None), devices=devices)
