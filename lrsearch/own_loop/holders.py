"""Objects that hold state: what of them is written into a checkpoint, and how it is put back."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree
from torch.utils.data import DataLoader

from lrsearch.own_loop.streams import python_state, python_state_of


@dataclass(frozen=True)
class Holder:
    """How the state of one kind of object is read, and put back into another one like it."""

    read: Callable[[PyTree], PyTree]
    put: Callable[[PyTree, PyTree], None]
    #: Whether it draws random numbers, so that its state belongs to those of the process.
    draws: bool = False
    #: Put back once, where a run goes on: it starts processes, or what it loads is used up.
    once: bool = False


def holder_of(value: PyTree) -> Holder | None:
    """How to keep an object that holds state; None for plain values and all others.

    A list, tuple or dict of nothing but such objects is one of them.
    """
    for kinds, holder in _HOLDERS:
        if isinstance(value, kinds):
            return holder
    if isinstance(value, Tensor):
        return _TRAINED if value.requires_grad and value.is_leaf else None
    if isinstance(value, DataLoader) and not _has_state(value):
        return _LOADER
    if not isinstance(value, type) and _has_state(value):
        return _STATEFUL_LOADER if hasattr(value, "__iter__") else _STATEFUL
    if isinstance(value, list | tuple | dict) and value:
        items = value.values() if isinstance(value, dict) else value
        if all(holder_of(item) is not None for item in items):
            return _COLLECTION
    return None


def generators_of(loader: PyTree) -> Iterator[torch.Generator]:
    """The private generators of a loader: its own and those of its samplers, each once."""
    sampler = getattr(loader, "sampler", None)
    batch_sampler = getattr(loader, "batch_sampler", None)
    places = (loader, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found = [getattr(place, "generator", None) for place in places]
    yield from {id(g): g for g in found if isinstance(g, torch.Generator)}.values()


def _has_state(value: PyTree) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(
        getattr(value, "load_state_dict", None)
    )


@dataclass(frozen=True)
class _ModuleState:
    """What of a module is written, beside its state dict."""

    state: Mapping[str, PyTree]
    #: Buffers that are not persistent: the state dict leaves them out.
    buffers: Mapping[str, Tensor]
    #: Gradients: of a loop that accumulates them over the place of the checkpoint.
    grads: Mapping[str, Tensor]
    #: Names of the modules in training mode, and of the parameters that are trained.
    training: list[str]
    trained: list[str]


def _read_module(module: nn.Module) -> PyTree:
    state = module.state_dict()
    named = dict(module.named_parameters())
    return vars(
        _ModuleState(
            state=state,
            buffers={name: b for name, b in module.named_buffers() if name not in state},
            grads={name: p.grad for name, p in named.items() if p.grad is not None},
            training=[name for name, part in module.named_modules() if part.training],
            trained=[name for name, p in named.items() if p.requires_grad],
        )
    )


@torch.no_grad()
def _put_module(module: nn.Module, fields: PyTree) -> None:
    saved = _ModuleState(**fields)
    module.load_state_dict(saved.state)
    for name, value in saved.buffers.items():
        _put_buffer(module, name, value)
    for name, parameter in module.named_parameters():
        grad = saved.grads.get(name)
        parameter.grad = None if grad is None else grad.to(parameter.device)
        parameter.requires_grad_(name in saved.trained)
    for name, part in module.named_modules():
        part.training = name in saved.training


def _put_buffer(module: nn.Module, name: str, saved: Tensor) -> None:
    path, _, attribute = name.rpartition(".")
    owner = module.get_submodule(path)
    mine = owner._buffers.get(attribute)
    if mine is not None and mine.shape == saved.shape and mine.dtype == saved.dtype:
        mine.copy_(saved)
    else:  # made in the first batch, or replaced by a longer one
        owner.register_buffer(attribute, saved, persistent=False)


def _put_random(generator: random.Random, saved: PyTree) -> None:
    generator.setstate(python_state_of(saved))


def _put_numpy(generator: np.random.Generator, saved: PyTree) -> None:
    generator.bit_generator.state = saved


@dataclass(frozen=True)
class _LoaderState:
    """Of a loader that has no state of its own."""

    generators: list[Tensor]
    #: Whether its processes live from epoch to epoch, and run: the next epoch draws no seed.
    runs: bool


def runs(loader: PyTree) -> bool:
    """Whether a loader's processes have stayed from an earlier epoch."""
    stays = isinstance(loader, DataLoader) and loader.persistent_workers
    return stays and loader._iterator is not None


def stop(loader: DataLoader[PyTree]) -> None:
    """End the processes that have stayed."""
    loader._iterator = None


def _read_loader(loader: DataLoader[PyTree]) -> PyTree:
    generators = [generator.get_state() for generator in generators_of(loader)]
    return vars(_LoaderState(generators=generators, runs=runs(loader)))


def _put_loader(loader: DataLoader[PyTree], fields: PyTree) -> None:
    saved = _LoaderState(**fields)
    if saved.runs and loader._iterator is None:
        iter(loader)
    for generator, state in zip(generators_of(loader), saved.generators, strict=True):
        generator.set_state(state)


def _read_stateful_loader(loader: PyTree) -> PyTree:
    # Before its first batch torchdata's would draw a seed in order to answer.
    begun = getattr(loader, "_iterator", loader) is not None
    return [loader.state_dict() if begun else None, [g.get_state() for g in generators_of(loader)]]


def _put_stateful_loader(loader: PyTree, saved: PyTree) -> None:
    own, generators = saved
    if own is not None:
        loader.load_state_dict(own)
        # It draws a seed for what it goes on with: now, and not in the loop.
        loader.state_dict()
    for generator, state in zip(generators_of(loader), generators, strict=True):
        generator.set_state(state)


@torch.no_grad()
def _put_trained(tensor: Tensor, saved: Tensor) -> None:
    if tensor.shape != saved.shape:
        raise ValueError(f"{list(saved.shape)} there, {list(tensor.shape)} here")
    tensor.copy_(saved)


def _items(value: PyTree) -> list[PyTree]:
    return list(value.values() if isinstance(value, dict) else value)


def _read_items(value: PyTree) -> PyTree:
    return [read_state(item) for item in _items(value)]


def _put_items(value: PyTree, saved: PyTree) -> None:
    for item, state in zip(_items(value), saved, strict=True):
        put_state(item, state)


def read_state(value: PyTree) -> PyTree:
    """The state of an object that `holder_of` knows."""
    holder = holder_of(value)
    if holder is None:
        raise TypeError(f"{type(value).__name__} holds no state")
    return holder.read(value)


def put_state(value: PyTree, saved: PyTree) -> None:
    """Put back what `read_state` gave."""
    holder = holder_of(value)
    if holder is None:
        raise TypeError(f"{type(value).__name__} holds no state")
    holder.put(value, saved)


#: A tensor that an optimizer trains: others hold it, so it stays the same one.
_TRAINED = Holder(lambda tensor: tensor.detach(), _put_trained)
_STATEFUL = Holder(lambda value: value.state_dict(), lambda value, s: value.load_state_dict(s))
_STATEFUL_LOADER = Holder(_read_stateful_loader, _put_stateful_loader, once=True)
_LOADER = Holder(_read_loader, _put_loader, once=True)
_COLLECTION = Holder(_read_items, _put_items)
_HOLDERS: list[tuple[tuple[type, ...], Holder]] = [
    ((nn.Module,), Holder(_read_module, _put_module)),
    ((torch.Generator,), Holder(lambda g: g.get_state(), lambda g, s: g.set_state(s), draws=True)),
    ((random.Random,), Holder(lambda g: python_state(g.getstate()), _put_random, draws=True)),
    (
        (np.random.Generator,),
        Holder(lambda g: g.bit_generator.state, _put_numpy, draws=True),
    ),
    (
        (np.random.RandomState,),
        Holder(lambda g: g.get_state(legacy=False), lambda g, s: g.set_state(s), draws=True),
    ),
]
