"""torch's random numbers: their state, and whether a call draws any."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def random_state(device: torch.device) -> list[Tensor]:
    """Of torch's generators, the processor's and the device's."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state(device))
    return states


def set_random_state(states: Sequence[Tensor], device: torch.device) -> None:
    """Go on from where `random_state` was asked."""
    torch.set_rng_state(states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[1], device)


#: Seeds what a model draws while it is validated.
VALIDATION_SEED = 0


@contextmanager
def validation_numbers(device: torch.device) -> Iterator[None]:
    """Random numbers that are the same each time; afterwards it is as if none had been drawn."""
    before = random_state(device)
    torch.manual_seed(VALIDATION_SEED)
    try:
        yield
    finally:
        set_random_state(before, device)


def drew(call: Callable[[], Any], device: torch.device) -> bool:
    """Whether a call draws random numbers; it is as if it had not."""
    before = random_state(device)
    call()
    after = random_state(device)
    set_random_state(before, device)
    return not all(map(torch.equal, before, after))
