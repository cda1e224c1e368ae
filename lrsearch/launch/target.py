"""What every place to start workers in can do."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from lrsearch.errors import StudyError
from lrsearch.launch.fleet import Fleet
from lrsearch.launch.snapshot import FOLDER
from lrsearch.plain_data import Document
from lrsearch.private_files import make_private_folder, private
from lrsearch.study_name import path_part


@dataclass(frozen=True, kw_only=True)
class Member:
    """A worker that was started: its process, Slurm job, Ray actor or Kubernetes Job."""

    id: str
    #: Where its output is, as a file or as the command that shows it.
    log: str

    def to_dict(self) -> Document:
        """As `--json` shows it."""
        return asdict(self)


class Target(Protocol):
    """A place to start workers in."""

    #: As `--on` takes it.
    name: str

    def plan(self, fleet: Fleet) -> str:
        """What `start` would run, as text; nothing is started or written."""
        ...

    def start(self, fleet: Fleet) -> Sequence[Member]:
        """Start the workers. Raises an LrsearchError where that cannot be done from here."""
        ...

    def stop(self, study: str) -> Sequence[Member]:
        """End those that run, in order: each saves what it trains; the members that were ended."""
        ...


def launch_folder(study: str) -> Path:
    """Logs and records of a study's fleets, below the current folder. It need not be there."""
    return Path(FOLDER).absolute() / path_part(study)


def remembered(study: str, target: str) -> list[Member]:
    """The members that were started from this folder and not stopped."""
    path = _record(study, target)
    if not path.exists():
        return []
    try:
        return [Member(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise StudyError(
            f"{path} is damaged: {error}; end its workers by hand, and remove it"
        ) from error


def remember(study: str, target: str, members: Sequence[Member]) -> None:
    """Keep which members there are, in place of those before."""
    path = _record(study, target)
    make_private_folder(path.parent)
    written = path.with_suffix(".new")
    with open(written, "w", encoding="utf-8", opener=private) as file:
        json.dump([member.to_dict() for member in members], file, indent=2)
    written.replace(path)


def _record(study: str, target: str) -> Path:
    return launch_folder(study) / f"{target}.json"
