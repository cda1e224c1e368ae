"""What a worker ran, as it is stored with it: enough to run the same again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lrsearch.plain_data import Document, Fields


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """One data set of a task."""

    #: `training`, `validation` or `test`.
    name: str
    #: In words: how many samples, and of tensors their types and shapes.
    shape: str
    #: SHA-256 of the first `hashed` bytes of its tensors, in hexadecimal; empty where the samples
    #: are not tensors in memory.
    sha256: str = ""
    #: Bytes, and how many of them were hashed.
    size: int = 0
    hashed: int = 0


@dataclass(frozen=True, kw_only=True)
class WorkerFacts:
    """One worker: what was typed, where it ran, with what."""

    #: The line that started it, or the command that started it; without passwords.
    command: str
    #: `CPython 3.11.2`
    python: str
    #: Name and version of the operating system.
    system: str
    #: The processor or the accelerator by its full name.
    hardware: str
    #: Name to version.
    packages: Mapping[str, str]
    #: Empty of a script, which reads its data itself.
    data: tuple[DataFacts, ...] = ()

    def to_dict(self) -> Document:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Fields) -> "WorkerFacts":
        sets = tuple(DataFacts(**one) for one in stored.get("data", ()))
        return cls(**{**stored, "data": sets})
