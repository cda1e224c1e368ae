"""The random streams of a process: torch's of each device, Python's `random`, `numpy.random`."""

import random

import numpy as np
import torch
from torch.utils._pytree import PyTree

from lrsearch.own_loop.values import decode, encode

_CPU = torch.device("cpu")


def global_streams(device: torch.device) -> dict[str, PyTree]:
    """Where they stand, for `torch.save`. Devices that nothing was drawn on are not woken up."""
    return {
        "torch": torch.get_rng_state(),
        "numpy": encode(np.random.get_state(legacy=False)),
        "random": python_state(random.getstate()),
        "accelerators": _accelerator_states(device),
    }


def set_global_streams(saved: dict[str, PyTree], device: torch.device) -> None:
    """Go on from where `global_streams` was asked, on another accelerator if need be."""
    of_torch, of_numpy, of_random, accelerators = saved.values()
    torch.set_rng_state(of_torch)
    np.random.set_state(decode(of_numpy, _CPU))
    random.setstate(python_state_of(of_random))
    kind, mine, states = accelerators
    if not states or kind != device.type:
        return
    module = torch.get_device_module(device)
    if kind == "mps":
        module.set_rng_state(states[0])  # there is one, and it takes no index
        return
    for index, state in enumerate(states[: module.device_count()]):
        module.set_rng_state(state, index)
    module.set_rng_state(states[mine], device)


def _accelerator_states(device: torch.device) -> list[PyTree]:
    """Kind, index of the run's own device, and the state of each that is visible."""
    if device.type == "cpu":
        return ["cpu", 0, []]
    module = torch.get_device_module(device)
    if not getattr(module, "is_initialized", lambda: True)():
        return [device.type, 0, []]
    if device.type == "mps":
        return ["mps", 0, [module.get_rng_state()]]
    states = [module.get_rng_state(index) for index in range(module.device_count())]
    return [device.type, module.current_device() if device.index is None else device.index, states]


#: What `random.Random.getstate` gives: version, words, second normal number.
PythonState = tuple[int, tuple[int, ...], float | None]


def python_state(state: tuple[PyTree, ...]) -> PyTree:
    """The state of a generator of `random` for `torch.save`, its 625 words in one tensor."""
    version, words, normal = state
    return [version, torch.tensor(words, dtype=torch.int64), normal]


def python_state_of(saved: PyTree) -> PythonState:
    """What `random.setstate` takes, of what `python_state` gave."""
    version, words, normal = saved
    return (version, tuple(words.tolist()), normal)
