"""A run's state in a file: those of all ranks, one after the other."""

import json
from collections.abc import Sequence
from pathlib import Path

from torch.utils._pytree import PyTree

from lrsearch.own_loop.frames import users_frames
from lrsearch.own_loop.kept import StateError
from lrsearch.own_loop.parameters import Parts
from lrsearch.own_loop.role import Role
from lrsearch.own_loop.session import Session
from lrsearch.own_loop.state import RunState
from lrsearch.private_files import private


class Checkpoint:
    """What a run writes into a file, and goes on from."""

    def __init__(self, session: Session) -> None:
        """Raises StateError, OSError where the session goes on from a file that is none."""
        self._session = session
        self.state = RunState(session.device, session.hint)
        if session.start.resume is not None:
            ranks, path = session.ranks, Path(session.start.resume)
            self.state.load(read_state(path, ranks.rank, ranks.count))

    def keep(self, name: str, value: PyTree, *, compared: bool = True) -> None:
        """Keep an object of ours, or one of the script's that is not kept by another name."""
        kept = self.state.kept
        if not any(each is value for each in kept.values()):
            kept.add(name, value, compared=compared)

    def keep_role(self, role: Role, title: str) -> None:
        """Keep what drives a role, whatever the script's loop can see of it."""
        self.keep(f"run.role{title}", role)
        self.keep(f"run.schedule{title}", role.schedule)
        self.keep(f"optimizer{title}", role.optimizer)
        if role.average is not None:
            self.keep(f"run.average{title}", role.average)
        if not isinstance(role.model, Parts):
            self.keep(f"model{title}", role.model)

    def enter(self) -> None:
        """The loop begins; a state is put back. Raises StateError."""
        self.state.enter(users_frames())

    def top(self, number: int) -> None:
        """Another epoch begins; the loop counts on to this number. Raises StateError."""
        self.state.top(users_frames(), number)
        self.say_unkept()

    def say_unkept(self) -> None:
        """Name what the script should keep."""
        for text in self.state.hints():
            self._session.hint(text, text)

    def write(self, path: Path) -> int:
        """Write the state of all ranks; its bytes, 0 on ranks that do not write."""
        states = self._session.ranks.gather(self.state.pack())
        return 0 if states is None else write_states(path, states)


def write_states(path: Path, states: Sequence[bytes]) -> int:
    """Write one file with the state of each rank, whole or not at all; its bytes."""
    head = json.dumps([len(state) for state in states]).encode() + b"\n"
    part = path.with_name(f"{path.name}.part")
    with open(part, "wb", opener=private) as file:
        file.write(head + b"".join(states))
    part.replace(path)
    return path.stat().st_size


def read_state(path: Path, rank: int, ranks: int) -> bytes:
    """The state of one rank of so many. Raises StateError, OSError where there is no file."""
    head, _, content = path.read_bytes().partition(b"\n")
    try:
        sizes = [int(size) for size in json.loads(head)]
    except (TypeError, ValueError) as error:
        raise StateError(f"{path.name} is no state of a run; begin anew") from error
    if sum(sizes) != len(content):
        raise StateError(f"{path.name} is cut off; begin anew")
    if len(sizes) != ranks:
        raise StateError(f"{path.name} is of {len(sizes)} ranks, here are {ranks}; begin anew")
    start = sum(sizes[:rank])
    return content[start : start + sizes[rank]]
