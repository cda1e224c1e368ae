"""Objects that hold state: what of them is written into a checkpoint, and how it is put back."""

import random
from collections.abc import Callable, Mapping
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
    if isinstance(value, DataLoader) and not has_place(value):
        return _LOADER
    if not isinstance(value, type) and _has_state(value):
        return _STATEFUL_LOADER if hasattr(value, "__iter__") else _STATEFUL
    if type(value).__module__.startswith("accelerate.") and hasattr(value, "gradient_state"):
        return _ACCELERATOR
    if isinstance(value, list | tuple | dict) and value:
        items = value.values() if isinstance(value, dict) else value
        if all(holder_of(item) is not None for item in items):
            return _COLLECTION
    return None


def generators_of(loader: PyTree) -> list[torch.Generator]:
    """The private generators of a loader: its own and those of its samplers, each once."""
    found = [getattr(place, "generator", None) for place in (loader, *_samplers(loader))]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


def _samplers(loader: PyTree) -> list[PyTree]:
    batch_sampler = getattr(loader, "batch_sampler", None)
    found = [getattr(loader, "sampler", None), batch_sampler]
    found.append(getattr(batch_sampler, "sampler", None))
    return list({id(sampler): sampler for sampler in found if sampler is not None}.values())


def has_place(loader: PyTree) -> bool:
    """Whether a loader tells and takes up its place inside an epoch."""
    # accelerate's loaders have the methods of one that they pass calls on to, or may not.
    return _has_state(getattr(loader, "base_dataloader", loader)) and hasattr(loader, "__iter__")


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
class LoaderState:
    """Of a loader that has no state of its own."""

    generators: list[Tensor]
    #: Epochs begun, as samplers and accelerate's loaders count them.
    counts: list[int]
    #: Whether its processes live from epoch to epoch, and run: the next epoch draws no seed.
    runs: bool

    @classmethod
    def of(cls, loader: PyTree) -> "LoaderState":
        stays = getattr(loader, "persistent_workers", False)
        return cls(
            generators=[generator.get_state() for generator in generators_of(loader)],
            counts=[getattr(place, name) for place, name in _counts_of(loader)],
            runs=stays and loader._iterator is not None,
        )

    def put(self, loader: PyTree) -> None:
        """Let it begin its next epoch as it would have begun."""
        runs = LoaderState.of(loader).runs
        if self.runs and not runs:
            iter(loader)
        elif runs and not self.runs:
            loader._iterator = None
        for generator, state in zip(generators_of(loader), self.generators, strict=True):
            generator.set_state(state)
        for (place, name), count in zip(_counts_of(loader), self.counts, strict=True):
            setattr(place, name, count)


def _counts_of(loader: PyTree) -> list[tuple[PyTree, str]]:
    """Objects of a loader that count epochs, and the attribute that does."""
    places = [(loader, "iteration"), *((sampler, "epoch") for sampler in _samplers(loader))]
    return [(place, name) for place, name in places if type(getattr(place, name, None)) is int]


def _read_loader(loader: PyTree) -> PyTree:
    return vars(LoaderState.of(loader))


def _put_loader(loader: PyTree, fields: PyTree) -> None:
    LoaderState(**fields).put(loader)


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


def _read_accelerator(accelerator: PyTree) -> PyTree:
    scaler = getattr(accelerator, "scaler", None)
    return [accelerator.step, None if scaler is None else scaler.state_dict()]


def _put_accelerator(accelerator: PyTree, saved: PyTree) -> None:
    accelerator.step, scaler = saved
    if scaler is not None:
        accelerator.scaler.load_state_dict(scaler)


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
_ACCELERATOR = Holder(_read_accelerator, _put_accelerator)
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
