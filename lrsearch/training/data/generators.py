"""Random generators that a user's objects keep, found so that they can be seeded."""

import random
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import CodeType, FunctionType, MethodType, ModuleType

import numpy as np
import torch

from lrsearch.training.randomness import mixed

#: A generator of random numbers that somebody holds.
Generator = random.Random | np.random.Generator | np.random.RandomState | torch.Generator
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
#: What holds no generator.
_PLAIN = (str, bytes, int, float, complex, torch.Tensor, np.ndarray, ModuleType)
#: How far the search goes: objects deep, items of one container, objects in all. A list of
#: transforms is shorter, a list of file names may have millions.
MOST_DEEP, MOST_ITEMS, MOST_OBJECTS = 12, 64, 5000
#: Packages whose functions draw from what they are given, or from the global streams.
_LIBRARIES = ("torch", "numpy", "builtins", "random", "typing", "abc", "collections")


def generators_in(*roots: object) -> list[Generator]:
    """Generators that can be reached from these, each once, always in the same order.

    By attributes, items of lists, tuples and mappings, arguments of partials, closures and
    defaults of functions, and the global names that functions and methods mention.
    """
    found: dict[int, Generator] = {}
    seen: set[int] = set()
    kept: list[object] = []  # so that no id is used twice
    layer: list[object] = list(roots)
    for _ in range(MOST_DEEP):
        below: list[object] = []
        for value in layer:
            if id(value) in seen or len(seen) >= MOST_OBJECTS:
                continue
            seen.add(id(value))
            kept.append(value)
            if isinstance(value, _GENERATORS):
                found[id(value)] = value
            elif value is not None and not isinstance(value, _PLAIN):
                below += _inside(value)
        layer = below
    return list(found.values())


def seed_generators(generators: Iterable[Generator], seed: int) -> None:
    """Seed each, all differently."""
    for number, generator in enumerate(generators):
        own = mixed(seed, number)
        if isinstance(generator, np.random.Generator):
            bits = generator.bit_generator
            bits.state = type(bits)(own).state
        elif isinstance(generator, torch.Generator):
            generator.manual_seed(own)
        else:
            generator.seed(own if isinstance(generator, random.Random) else own >> 31)


def _inside(value: object) -> Iterator[object]:
    """What an object holds, one step deep."""
    if isinstance(value, list | tuple | set | frozenset):
        yield from islice(value, MOST_ITEMS)
    elif isinstance(value, Mapping):
        yield from islice(value.values(), MOST_ITEMS)
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    if not isinstance(value, type | FunctionType):
        yield from vars(value).values() if hasattr(value, "__dict__") else ()
        slots = (name for base in type(value).__mro__ for name in vars(base).get("__slots__", ()))
        yield from (getattr(value, name, None) for name in slots)
        yield from _of_class(type(value))


def _of_function(function: FunctionType) -> Iterator[object]:
    if _is_library(function.__module__):
        return
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that has no value yet
            continue
    for name in _names(function.__code__):
        yield function.__globals__.get(name)


def _names(code: CodeType) -> Iterator[str]:
    """Global names and attributes that the code mentions, functions in it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _of_class(cls: type) -> Iterator[object]:
    """Methods and class attributes of a user's class."""
    for base in cls.__mro__:
        if not _is_library(base.__module__):
            for value in vars(base).values():
                if isinstance(value, staticmethod | classmethod):
                    yield value.__func__
                elif isinstance(value, property):
                    yield value.fget
                else:
                    yield value


def _is_library(module: str | None) -> bool:
    return module is None or module.partition(".")[0] in _LIBRARIES
