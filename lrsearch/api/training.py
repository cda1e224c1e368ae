"""With what a study of Python's is trained: its task, and the resources of this machine."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lrsearch.errors import StudyError
from lrsearch.spec.program import LIVE
from lrsearch.study.stored_study import StoredStudy
from lrsearch.task import own_code
from lrsearch.task.task import LoadedTask, Task
from lrsearch.worker.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Training:
    """With what a study is trained."""

    resources: Resources
    #: Where workers look for the study's files.
    folder: Path
    #: A task that is an object of this process; None for one in a file.
    live: LoadedTask | None = None

    @property
    def one_worker(self) -> Resources:
        """For a run that is trained alone."""
        return Resources(workers=1, device=self.resources.device, fuse="off")

    def refuse_without_task(self, call: str, study: StoredStudy) -> None:
        """Raises StudyError for a study of a Task object that this process was not given."""
        if study.spec.is_live and self.live is None:
            raise StudyError(
                f"{call}: study {study.name!r} trains a Task object of an earlier process; give "
                f"it again: open_study({study.name!r}, task=...)"
            )


def live_task(task: Task, own: Iterable[str], folder: Path) -> LoadedTask:
    """A task of this process, with the hashes of the study's own files in `folder`.

    Raises TaskError for a file that is not there.
    """
    code = own_code.own_hashes(own, folder, folder.resolve())
    return LoadedTask(reference=LIVE, source=Path(), target=task, code=code)
