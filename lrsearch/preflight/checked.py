"""What is known of a study whose program was seen to train."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lrsearch.errors import SpecError, TaskError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedCode, Task


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A study whose program trains."""

    spec: StudySpec
    loaded: LoadedCode
    #: None where the program is a script or a command, and where another process has it.
    task: Task | None
    #: Where workers look for the task's file; None for a task that is an object of this process.
    folder: Path | None
    steps_per_epoch: int
    #: Of a validation; None where no part of them can be taken, and where there is no task.
    validation_samples: int | None = None
    #: Samples of the task's own batch; None where it does not say so.
    batch_size: int | None = None
    #: What trains, but hardly as it was meant, one line each.
    warnings: tuple[str, ...] = ()
    #: What was assumed of the task, one line each.
    notes: tuple[str, ...] = ()
    #: How a script's trials go on after an interruption; None of a task, where it is exact.
    resume: str | None = None
    #: How long an epoch takes, where a first run has shown it.
    seconds_per_epoch: float | None = None


@contextmanager
def located(where: str) -> Iterator[None]:
    """Errors inside begin with `where`, if it is not empty."""
    try:
        yield
    except (SpecError, TaskError) as error:
        if not where:
            raise
        raise type(error)(f"{where}: {error}") from error
