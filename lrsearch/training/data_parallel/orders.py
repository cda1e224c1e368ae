"""What rank 0 tells the other processes of a trial, and what they answer; sent pickled."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lrsearch.plain_data import Fields
from lrsearch.training.data_parallel.place import Place
from lrsearch.training.evaluate import Evaluation
from lrsearch.training.randomness import RandomStates
from lrsearch.training.training import Purpose


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a process needs before its first trial: the study, and where its task's code is."""

    #: As `StudySpec.to_dict` writes it.
    spec: Fields
    code: Mapping[str, str]
    folders: tuple[Path, ...]
    device: str
    place: Place
    #: Of torch, on the CPU.
    threads: int
    #: File in which the processes find each other.
    store: Path
    #: How long one waits for another.
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Stand at step 0 of a trial of this recipe."""

    recipe: Fields
    purpose: Purpose


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Stand where this checkpoint does; `branches`: it is of a run of another horizon."""

    data: bytes
    #: Where the random streams of these processes were, by rank from 1 on.
    random: tuple[RandomStates, ...]
    branches: bool


@dataclass(frozen=True, kw_only=True)
class Advance:
    """Train up to this step."""

    until: int


@dataclass(frozen=True, kw_only=True)
class Conclude:
    """Rank 0 has validated, and found this."""

    raw: Evaluation
    averaged: Evaluation | None


@dataclass(frozen=True)
class SendRandom:
    """Say where the random streams are: answered with `RandomStates`."""


Order = Begin | Stand | Advance | Conclude | SendRandom


@dataclass(frozen=True)
class Ready:
    """The task is here; what follows is torch.distributed's."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The task's code raised in this process, which ends."""

    reason: str


Answer = Ready | RandomStates | Failed


def send(connection: Connection, message: Setup | Order | Answer) -> None:
    """Raises OSError where nobody listens.

    Tensors are copied: `Connection.send` would have both processes share their memory.
    """
    connection.send_bytes(pickle.dumps(message))


def receive(connection: Connection) -> Any:
    """What was sent next. Raises EOFError or OSError where the other end is closed."""
    return pickle.loads(connection.recv_bytes())
