"""What of a script is written into its checkpoints, by name, and put back where a run goes on."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch.utils._pytree import PyTree

from lrsearch.errors import LrsearchError, describe
from lrsearch.own_loop.holders import holder_of, put_state, read_state
from lrsearch.own_loop.streams import global_streams, set_global_streams
from lrsearch.own_loop.values import ACCEPTED, NotPlainError, decode, digest, encode, refill
from lrsearch.training.checkpoint_file import load_plain

#: Changes when an older state can no longer be read.
FORMAT = 1


class StateError(LrsearchError):
    """A state cannot be written or read, or does not fit the script."""


@dataclass
class _Entry:
    """One object that is kept."""

    value: PyTree
    #: Whether `lrsearch check` compares it.
    compared: bool
    #: Whether it was first kept in the loop: code in the loop makes it.
    inside: bool
    #: Whether nobody asked for it: where its state cannot be written, it is left out.
    found: bool = False
    #: Whether other objects came under this name: it is given back as a new one.
    rebound: bool = False

    @property
    def optional(self) -> bool:
        """Whether a run may go on at the top of an epoch without it."""
        return self.inside and (not self.compared or holder_of(self.value) is None)


@dataclass(frozen=True)
class _Saved:
    """One object in a file."""

    #: Whether a run may go on without it: the loop makes it anew.
    optional: bool
    rebound: bool
    #: Whether it is the state of an object, and no value of its own.
    is_state: bool
    content: PyTree

    @property
    def is_value_anew(self) -> bool:
        """Whether `keep` gives it back as a new value, and nothing is put in place."""
        return self.rebound and not self.is_state


@dataclass(frozen=True, kw_only=True)
class _File:
    """A state as it is written; the facts must be equal for the same bits."""

    format: int = FORMAT
    torch: str
    device: str
    threads: int
    objects: Mapping[str, list[PyTree]] = field(default_factory=dict)
    streams: dict[str, PyTree] = field(default_factory=dict)

    def differs(self, other: "_File") -> str:
        """The first fact that differs, in words; empty if none does."""
        for name in ("format", "torch", "device", "threads"):
            theirs, mine = getattr(self, name), getattr(other, name)
            if theirs != mine:
                return f"{name} {theirs} there, {mine} here"
        return ""


class Kept:
    """Objects by name, and the random streams of the process.

    Between `load` and `arrive` a run goes on from a file: objects that are added wait for
    `restore`, and values that are kept are given back at once.
    """

    def __init__(self, device: torch.device) -> None:
        """`device`: the run's; what a file has on an accelerator is put there."""
        self._device = device
        self._entries: dict[str, _Entry] = {}
        self._saved: dict[str, _Saved] | None = None
        self._streams: dict[str, PyTree] = {}
        self._put_once: set[str] = set()
        #: Whether the loop has begun.
        self.inside = False
        #: Objects that were found and whose state cannot be written, and why.
        self.left_out: dict[str, str] = {}

    @property
    def goes_on(self) -> bool:
        """Whether the run is on its way to where a file was written."""
        return self._saved is not None

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def is_made_inside(self, name: str) -> bool:
        """Whether a name was first kept in the loop."""
        return name in self._entries and self._entries[name].inside

    @property
    def saved_names(self) -> list[str]:
        """Those in the file that the run goes on from."""
        return list(self._saved or ())

    def items(self) -> Iterator[tuple[str, PyTree]]:
        """All that is kept."""
        return ((name, entry.value) for name, entry in self._entries.items())

    def values(self) -> Iterator[PyTree]:
        """The objects alone."""
        return (entry.value for entry in self._entries.values())

    def get(self, name: str) -> PyTree:
        """What is kept by this name; None if nothing is."""
        entry = self._entries.get(name)
        return None if entry is None else entry.value

    def add(self, name: str, value: PyTree, *, compared: bool = True, found: bool = False) -> None:
        """Keep an object that stays the same one: its state is put back into it by `restore`.

        `compared`: whether `digests` has it. `found`: it was there before the loop, and nobody
        asked for it. Raises StateError where another object has the name.
        """
        entry = self._entries.get(name)
        if entry is not None and entry.value is not value:
            raise StateError(f"run.keep: two objects are named {name!r}; give one another name")
        inside = self.inside and not found
        self._entries.setdefault(name, _Entry(value, compared, inside, found))

    def keep(self, name: str, value: PyTree, *, compared: bool = True) -> PyTree:
        """Keep a value that may be replaced by a later one; what the script goes on with.

        That is the value itself, or, where a run goes on and has not arrived yet, the one in the
        file: in the same object if it was never replaced. Raises StateError if it does not fit.
        """
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(value, compared, self.inside)
        saved = (self._saved or {}).get(name)
        if saved is None:
            entry.rebound |= entry.value is not value
            entry.value = value
        else:
            entry.value, entry.rebound = self._given_back(name, saved, value), saved.rebound
        return entry.value

    def _given_back(self, name: str, saved: _Saved, value: PyTree) -> PyTree:
        if saved.is_value_anew:
            return decode(saved.content, self._device)
        _require_alike(name, saved, value)
        if saved.is_state:
            return value  # `restore` puts its state back, once all is set up
        made = decode(saved.content, self._device)
        return value if _refilled(name, value, made) else made

    def pack(self) -> bytes:
        """All that is kept and the random streams, as a file. Raises StateError."""
        objects = {
            name: [entry.optional, entry.rebound, holder_of(entry.value) is not None, content]
            for name, entry, content in self._contents()
        }
        streams = global_streams(self._device)
        buffer = io.BytesIO()
        torch.save(vars(self._file(objects=objects, streams=streams)), buffer)
        return buffer.getvalue()

    def _file(self, **content: PyTree) -> _File:
        return _File(
            torch=str(torch.__version__),
            device=self._device.type,
            threads=torch.get_num_threads(),
            **content,
        )

    def _contents(self) -> Iterator[tuple[str, _Entry, PyTree]]:
        for name, entry in self._entries.items():
            try:
                value = entry.value
                yield name, entry, encode(value if holder_of(value) is None else read_state(value))
            except (NotPlainError, RecursionError) as error:
                what = error if isinstance(error, NotPlainError) else "it holds itself"
                if entry.found:
                    self.left_out[name] = f"{name} is not kept: {what}"
                    continue
                raise StateError(
                    f"run.keep({name}=...): {what}, which no checkpoint holds; keep {ACCEPTED}, "
                    f"or an object with state_dict and load_state_dict"
                ) from error

    def digests(self) -> dict[str, str]:
        """SHA-256 of each object and each random stream: equal for equal bits."""
        found = {name: digest(content) for name, entry, content in self._contents()
                 if entry.compared}  # fmt: skip
        streams = global_streams(self._device)
        return found | {f"random numbers of {name}": digest(s) for name, s in streams.items()}

    def load(self, data: bytes) -> None:
        """Go on from this file. It runs no code, whatever the bytes are.

        Raises StateError where it cannot be read, or was made under other facts: going on would
        give other bits than an undisturbed run.
        """
        try:
            file = _File(**load_plain(data))
            objects = {name: _Saved(*fields) for name, fields in file.objects.items()}
        except Exception as error:  # bytes can be wrong in more ways than torch has errors for
            raise StateError(f"the state cannot be read: {describe(error)}; begin anew") from error
        if differs := file.differs(self._file()):
            raise StateError(f"the state was made with {differs}; begin anew")
        self._saved, self._streams = objects, file.streams

    def restore(self) -> None:
        """Put everything in the file back, in place, and the random streams last.

        Raises StateError for an object that is not there or of another shape.
        """
        for name, saved in (self._saved or {}).items():
            entry = self._entries.get(name)
            if entry is not None:
                self._restore_one(name, saved, entry.value)
            elif not saved.optional:
                raise StateError(
                    f"the state has {name!r}, but the script keeps no such thing before its loop; "
                    f"make it there, and write run.keep({name}={name})"
                )
        if self._saved is not None:
            set_global_streams(self._streams, self._device)

    def _restore_one(self, name: str, saved: _Saved, value: PyTree) -> None:
        if saved.is_value_anew:
            return
        _require_alike(name, saved, value)
        holder = holder_of(value)
        if holder is None:
            _refilled(name, value, decode(saved.content, self._device))
            return
        if holder.once and name in self._put_once:
            return
        self._put_once.add(name)
        try:
            put_state(value, decode(saved.content, self._device))
        except Exception as error:  # the script's own load_state_dict may raise anything
            raise StateError(f"the state of {name} does not fit: {describe(error)}") from error

    def arrive(self) -> None:
        """The run stands where the file was written; from here on what comes is kept."""
        self._saved = None
        self._streams = {}

    def unpack(self, data: bytes) -> None:
        """Put all back in place, at once. Raises StateError."""
        self.load(data)
        self.restore()
        self.arrive()

    def streams(self) -> dict[str, PyTree]:
        """Where all random numbers stand: the process's streams, and generators that are kept."""
        own = {
            name: encode(read_state(entry.value))
            for name, entry in self._entries.items()
            if (holder := holder_of(entry.value)) is not None and holder.draws
        }
        return {"process": global_streams(self._device), "own": own}

    def set_streams(self, saved: dict[str, PyTree]) -> None:
        """Go on from where `streams` was asked."""
        process, own = saved.values()
        for name, state in own.items():
            put_state(self._entries[name].value, decode(state, self._device))
        set_global_streams(process, self._device)


def _require_alike(name: str, saved: _Saved, value: PyTree) -> None:
    if saved.is_state == (holder_of(value) is not None):
        return
    raise StateError(
        f"run.keep({name}=...): the state has {'an object' if saved.is_state else 'a value'}, but "
        f"the script keeps a {type(value).__name__}; keep the same kind of thing from the start"
    )


def _refilled(name: str, mine: PyTree, saved: PyTree) -> bool:
    try:
        return refill(mine, saved)
    except ValueError as error:
        raise StateError(f"run.keep({name}=...): the state has {error}") from error
