"""The random streams of a process, and whose turn it is to draw from them.

Torch's generators, Python's `random` and numpy's `numpy.random` each have one stream for the whole
process. A trial's model goes on with it from the trial's seed. Data and validations get streams of
their own for as long as they run, so that nothing of them moves the model's.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator
from torch import Tensor


def mixed(*parts: int | str) -> int:
    """A seed of 63 bits that all the parts decide."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def seed_model(seed: int) -> None:
    """Seed torch, `random` and `numpy.random`, as a script does before it makes its model."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # without 150 us for a trace of who asks for devices that are not there
        torch.default_generator.manual_seed(seed)
    random.seed(seed)
    set_bit_generator(_MODELS)
    np.random.seed(seed % 2**32)


class MT19937(np.random.MT19937):
    """numpy's generator, known by its name, whose state can be left out where nobody needs it.

    `numpy.random` tells what it keeps beside it only with a copy of it, which takes 44 us.
    """

    is_told = True

    @property
    def state(self) -> Any:
        return super().state if self.is_told else {"bit_generator": "MT19937", "state": {}}

    @state.setter
    def state(self, value: Any) -> None:
        np.random.MT19937.state.__set__(self, value)  # type: ignore[attr-defined]


#: What the models of this process draw from by `numpy.random`.
_MODELS = MT19937(0)


def _state_with_spare() -> Any:
    """The state of `numpy.random` where it keeps the second of two normal numbers; else None."""
    bits = get_bit_generator()
    if isinstance(bits, MT19937):
        bits.is_told = False
        try:
            beside = np.random.get_state(legacy=False)
        finally:
            bits.is_told = True
        if not beside["has_gauss"]:
            return None
    whole = np.random.get_state(legacy=False)
    return whole if whole["has_gauss"] else None


def seed_host(seed: int) -> None:
    """Seed torch's generator of the processor, `random` and `numpy.random`."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


class Streams:
    """Streams beside the model's: of torch on the processor, `random` and `numpy.random`.

    numpy draws normal numbers in pairs and keeps the second for the next call: what was kept when
    others draw is lost.
    """

    def __init__(self) -> None:
        self._numpy = np.random.MT19937(0)
        self._torch = torch.get_rng_state()
        self._python = random.getstate()

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Draw from them as the seed makes them; afterwards it is as if nothing had been drawn."""
        with self._aside():
            seed_host(seed)
            yield

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Draw from where `keep` or the last of these calls has left them."""
        with self._aside():
            torch.set_rng_state(self._torch)
            random.setstate(self._python)
            try:
                yield
            finally:
                self.keep()

    def keep(self) -> None:
        """Let `going_on` begin where the process's streams, these at the moment, stand."""
        self._torch, self._python = torch.get_rng_state(), random.getstate()

    @contextmanager
    def _aside(self) -> Iterator[None]:
        of_torch, of_python = torch.get_rng_state(), random.getstate()
        of_numpy = get_bit_generator()
        set_bit_generator(self._numpy)
        try:
            yield
        finally:
            torch.set_rng_state(of_torch)
            random.setstate(of_python)
            set_bit_generator(of_numpy)


def drop_spare_normal() -> None:
    """Let numpy forget the second of two normal numbers, as `Streams` makes it."""
    set_bit_generator(get_bit_generator())


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


def is_captured(device: torch.device) -> bool:
    """Whether a CUDA graph is being made, so that nothing is drawn and no state can be read."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


#: Stands for no number in a state: none that is drawn is infinite.
_NONE = math.inf


@dataclass(frozen=True, kw_only=True)
class OtherState:
    """Where `random` and `numpy.random` stand, as they tell it."""

    python: tuple[Any, ...]
    numpy: Any

    @classmethod
    def now(cls) -> "OtherState":
        return cls(python=random.getstate(), numpy=tuple(np.random.get_state(legacy=True)))

    def numbers(self) -> Tensor:
        """Exactly: float64, [1253]."""
        _, words, normal = self.python
        _, *of_numpy = self.numpy
        parts = [np.array(words), _NONE if normal is None else normal, *map(np.asarray, of_numpy)]
        return torch.from_numpy(np.hstack(parts).astype(np.float64))


def other_random_state() -> Tensor:
    """The states of `random` and `numpy.random` as numbers, see `OtherState`."""
    return OtherState.now().numbers()


def set_other_random_state(state: Tensor) -> None:
    """Go on from where `other_random_state` was asked."""
    numbers = state.tolist()
    words, normal = numbers[:625], numbers[625]
    keys, position, has_normal, other = numbers[626:1250], *numbers[1250:]
    random.setstate((3, tuple(map(int, words)), None if normal == _NONE else normal))
    set_bit_generator(_MODELS)
    words_of_numpy = np.array(keys, dtype=np.uint32)
    np.random.set_state(("MT19937", words_of_numpy, int(position), int(has_normal), other))


@dataclass(frozen=True, kw_only=True)
class RandomStates:
    """Where all random streams of a process are."""

    #: Of torch on the processor.
    rng: Tensor
    #: Of `random` and `numpy.random`.
    other_rng: Tensor
    #: Of the device, if that is another.
    device_rng: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> "RandomStates":
        rng, *of_device = random_state(device)
        return cls(
            rng=rng,
            other_rng=other_random_state(),
            device_rng=of_device[0] if of_device else None,
        )

    def put(self, device: torch.device) -> None:
        """Go on from there."""
        of_device = [] if self.device_rng is None else [self.device_rng]
        set_random_state([self.rng, *of_device], device)
        set_other_random_state(self.other_rng)


#: Seeds what a model draws while it is validated.
VALIDATION_SEED = 0
_OF_VALIDATION = Streams()


@contextmanager
def validation_numbers(device: torch.device) -> Iterator[None]:
    """Random numbers that are the same each time; afterwards it is as if none had been drawn."""
    on_device = None if device.type == "cpu" else random_state(device)
    of_numpy = _state_with_spare()
    if on_device is not None:
        torch.manual_seed(VALIDATION_SEED)
    try:
        with _OF_VALIDATION.seeded(VALIDATION_SEED):
            yield
    finally:
        if on_device is not None:
            set_random_state(on_device, device)
        if of_numpy is not None:  # the spare number, which changing streams has dropped
            np.random.set_state(of_numpy)


def drew(call: Callable[[], Any], device: torch.device) -> bool:
    """Whether a call draws random numbers of torch's; it is as if it had not."""
    before = random_state(device)
    call()
    after = random_state(device)
    set_random_state(before, device)
    return not all(map(torch.equal, before, after))
