"""What came, in words: the values in batches as messages show them."""

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch.utils._pytree import PyTree

#: Values of a batch that a message names; what follows is left out.
MOST_VALUES = 4


def words(value: PyTree) -> str:
    """`float32 [16, 4]` for a tensor; what is inside tuples, lists and mappings likewise."""
    if isinstance(value, torch.Tensor):
        return f"{type_of(value)} {list(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + _listed([f"{key}: {words(item)}" for key, item in value.items()]) + "}"
    if isinstance(value, tuple | list):
        return f"({_listed([words(item) for item in value])})"
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        return f"numpy {value.dtype} {list(value.shape)}"
    if isinstance(value, str):
        return f"the text {value[:20]!r}"
    return "None" if value is None else type(value).__name__


def type_of(tensor: torch.Tensor) -> str:
    """torch's name of its type of numbers, without `torch.`."""
    return str(tensor.dtype).removeprefix("torch.")


def kind(value: PyTree) -> str:
    """`a tuple of 3`, `a mapping`, else the type."""
    if isinstance(value, tuple | list):
        return f"a {'tuple' if isinstance(value, tuple) else 'list'} of {len(value)}"
    return "a mapping" if isinstance(value, Mapping) else type(value).__name__


def leaves(value: PyTree, place: str) -> Iterator[tuple[str, PyTree]]:
    """Whatever is inside tuples, lists, mappings and dataclasses, with its place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{place}[{key!r}]")
    elif isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from leaves(item, f"{place}[{number}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for each in dataclasses.fields(value):
            yield from leaves(getattr(value, each.name), f"{place}.{each.name}")
    else:
        yield place, value


def _listed(parts: list[str]) -> str:
    more = [f"{len(parts) - MOST_VALUES} more"] if len(parts) > MOST_VALUES else []
    return ", ".join([*parts[:MOST_VALUES], *more])
