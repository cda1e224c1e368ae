"""Objects with state that a loop can see by a name: found, and kept without being asked to.

What cannot be kept so, such as a number that the loop replaces by another, is named with the line
that keeps it.
"""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree

from lrsearch.errors import describe
from lrsearch.own_loop.holders import holder_of, read_state
from lrsearch.own_loop.kept import Kept
from lrsearch.own_loop.values import NotPlainError, digest, encode

#: Epoch tops at which values are compared with those before the loop.
LOOKS = 2
#: Larger lists and dicts (items, those inside included), or arrays and tensors (elements), are not
#: looked into: data, rather than what training changes. They can be kept by `run.keep`.
MOST_ITEMS = 2_000
MOST_ELEMENTS = 1_000_000
#: When this process began, by each clock: a later value of it is its reading.
_CLOCKS = tuple((clock, clock()) for clock in (time.time, time.perf_counter, time.monotonic))
_CHANGEABLE = (list, dict, set, deque, bytearray, Tensor, np.ndarray)
_NO_STATE = (ModuleType, FunctionType, BuiltinFunctionType, type)


@dataclass(frozen=True)
class _Seen:
    """A value before the loop."""

    value: PyTree
    #: `Tensor._version`, or a digest; None where it was not looked into.
    mark: str | None


class Discovery:
    """What the loop's code can see by a name at the top of its epochs."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._seen: dict[str, _Seen] = {}
        #: Names of values that were replaced, and why objects are not kept.
        self._replaced: set[str] = set()
        self._unkept: dict[str, str] = {}
        self._looks = 0

    def enter(self, frames: Iterable[FrameType]) -> None:
        """The loop begins: keep what holds state, and remember the rest."""
        visible = dict(_visible(frames))
        self._keep_holders(visible)
        self._keep_parameters()
        known = {id(value) for value in self._kept.values() if not _is_fixed(value)}
        for name, value in visible.items():
            if name in self._kept.names:
                self._require_used(name, value)
            elif id(value) not in known:
                self._watch(name, value)

    def _require_used(self, name: str, value: PyTree) -> None:
        """Say where what `run.keep` gave back is not what the script goes on with."""
        if name in self._kept.saved_names and value is not self._kept.get(name):
            self._unkept[name] = (
                f"{name} is kept, but what run.keep gave back is not used; write "
                f"{name} = run.keep({name}={name})"
            )

    def _watch(self, name: str, value: PyTree) -> None:
        if name in self._kept.saved_names and isinstance(value, _CHANGEABLE):
            self._kept.add(name, value, found=True)  # changed before the run was interrupted
        elif _is_fixed(value) or isinstance(value, _CHANGEABLE):
            self._seen[name] = _Seen(value, _mark(value))

    def _keep_holders(self, visible: dict[str, PyTree]) -> None:
        covered = _tensors_of(self._kept.values())
        inner = {
            id(part)
            for value in visible.values()
            if isinstance(value, nn.Module)
            for part in value.modules()
            if part is not value
        }
        known = {id(value) for value in self._kept.values()}
        for name, value in visible.items():
            if id(value) in known | inner or holder_of(value) is None:
                continue
            if isinstance(value, nn.Module | Tensor) and _tensors_of([value]) <= covered:
                continue
            if self._answers(name, value):
                known.add(id(value))
                covered |= _tensors_of([value])
                self._kept.add(self._free(name), value, found=True)

    def _answers(self, name: str, value: PyTree) -> bool:
        """Whether an object has a state of its own that can be written.

        One that passes its calls on to something that is kept has none, as accelerate's optimizer.
        """
        if isinstance(value, nn.Module | Tensor | torch.Generator) or hasattr(value, "__iter__"):
            return True  # asking a loader would let it draw a seed
        try:
            state = _state(value)
        except (AttributeError, NotImplementedError):
            return False  # accelerate's have the method, and a state only in some of their uses
        except Exception as error:  # the script's own state_dict may raise anything
            self._unkept[name] = f"{name} is not kept: {describe(error)}"
            return False
        inner = [getattr(value, each, None) for each in ("optimizer", "scheduler")]
        kept = {id(each) for each in self._kept.values()}
        return not any(id(each) in kept and _state(each) == state for each in inner)

    def _free(self, name: str) -> str:
        return name if name not in self._kept.names else f"{name} of the script"

    def _keep_parameters(self) -> None:
        """Parameters of optimizers that belong to no module in sight."""
        covered = _tensors_of(self._kept.values())
        optimizers = [(name, value) for name, value in self._kept.items()
                      if isinstance(value, torch.optim.Optimizer)]  # fmt: skip
        for name, optimizer in optimizers:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for index, parameter in enumerate(parameters):
                if id(parameter) not in covered:
                    covered.add(id(parameter))
                    self._kept.add(f"{name}.parameters[{index}]", parameter)

    def top(self, frames: Iterable[FrameType], number: int) -> None:
        """Another epoch begins: keep what the one before has changed, and note what it replaced."""
        if self._looks >= LOOKS:
            return
        self._looks += 1
        for name, value in _visible(frames):
            seen = self._seen.get(name)
            if seen is None:
                continue
            if value is not seen.value:
                if _is_replaced(seen.value, value, number):
                    self._replaced.add(name)
            elif name in self._kept.names:
                continue
            elif isinstance(value, _CHANGEABLE) and _mark(value) != seen.mark:
                self._kept.add(name, value, found=True)
        if self._looks == LOOKS:
            self._seen.clear()

    def hints(self) -> list[str]:
        """A line for each value that is set before the loop, replaced in it, and not kept there."""
        return [*self._unkept.values(), *self._kept.left_out.values()] + [
            f"{name} is set before the loop and replaced in it, so an interrupted run would begin "
            f"with the first one again; write {name} = run.keep({name}={name}) above the loop, and "
            f"where it changes"
            for name in self._replaced
            if name not in self._kept.names or self._kept.is_made_inside(name)
        ]


def _visible(frames: Iterable[FrameType]) -> Iterator[tuple[str, PyTree]]:
    """Names and values, the nearest first, each name once."""
    named: set[str] = set()
    for frame in frames:
        here = _variables(frame)
        for place in (here, getattr(here.get("self"), "__dict__", {}), frame.f_globals):
            for name, value in list(place.items()):
                if name in named or name.startswith("__") or isinstance(value, _NO_STATE):
                    continue
                named.add(name)
                yield name, value


def _variables(frame: FrameType) -> dict[str, PyTree]:
    variables = dict(frame.f_locals)
    if frame.f_code.co_flags & CO_OPTIMIZED and sys.version_info < (3, 13):
        frame.f_locals.clear()  # a copy that the frame would hold, with all tensors in it
    return variables


def _tensors_of(values: Iterable[PyTree]) -> set[int]:
    """Identities of the tensors that modules hold, and of tensors themselves."""
    found: set[int] = set()
    for value in values:
        if isinstance(value, nn.Module):
            found |= {id(t) for t in (*value.parameters(), *value.buffers())}
        elif isinstance(value, Tensor):
            found.add(id(value))
        elif isinstance(value, list | tuple | dict) and holder_of(value) is not None:
            found |= _tensors_of(value.values() if isinstance(value, dict) else value)
    return found


def _state(value: PyTree) -> str:
    return digest(encode(read_state(value)))


def _is_fixed(value: PyTree) -> bool:
    """Whether it is a plain value that cannot be changed, only replaced."""
    return value is None or isinstance(value, bool | int | float | str | tuple | np.generic)


def _mark(value: PyTree) -> str | None:
    """What changes when a value is changed in place; None if it is too large to look into."""
    if isinstance(value, Tensor):
        return str(value._version) if not value.is_inference() else None
    if isinstance(value, np.ndarray):
        small = value.size <= MOST_ELEMENTS
    else:
        small = isinstance(value, bytearray) or _items(value, MOST_ITEMS) <= MOST_ITEMS
    if not small:
        return None
    try:
        return digest(encode(value))
    except (NotPlainError, RecursionError):
        return None  # it holds what no state can: it is not kept, and `check` compares the rest


def _items(value: PyTree, most: int) -> int:
    """How many values a collection holds, those inside included, counted up to `most`."""
    if isinstance(value, Tensor | np.ndarray):
        return 1 + value.size if isinstance(value, np.ndarray) else 1 + value.numel()
    if not isinstance(value, list | tuple | dict | set | deque):
        return 1
    total = len(value)
    if total > most:
        return total
    for item in value.values() if isinstance(value, dict) else value:
        total += _items(item, most)
        if total > most:
            break
    return total


def _is_replaced(before: PyTree, after: PyTree, number: int) -> bool:
    """Whether another value stands where one stood, and it is no clock's and no epoch's number."""
    if type(after) is int and after == number - 1:
        return False  # what `for epoch in run.epochs()` has set
    if isinstance(after, float) and any(began <= after <= clock() for clock, began in _CLOCKS):
        return False
    mark = None if isinstance(after, Tensor) else _mark(after)
    return mark is None or mark != _mark(before)
