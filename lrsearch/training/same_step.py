"""Whether a step in another form gives the model's losses, gradients and buffers, to the bit."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.utils._pytree import PyTree

from lrsearch.training.data.batches import leaves_of, map_tensors
from lrsearch.training.randomness import random_state, set_random_state
from lrsearch.training.written_step import AsRecorded, WrittenStep

#: Orders of a batch's samples in which a written step has to give the bits of the model.
ORDERS = 8

#: Weights, buffers by name, batch, factors of the losses.
Arguments = tuple[list[Tensor], Mapping[str, Tensor], PyTree, Tensor]
#: Losses [k], of a trial alone a scalar, and the gradient of each parameter.
Result = tuple[Tensor, list[Tensor]]


class Again:
    """Buffers and random numbers as they were before a call, to call once more."""

    def __init__(self, arguments: Arguments) -> None:
        self.buffers, self.device = arguments[1], arguments[-1].device
        self.before = {name: value.clone() for name, value in self.buffers.items()}
        self.state = random_state(self.device)

    def restore(self) -> None:
        for name, value in self.before.items():
            self.buffers[name].copy_(value)
        set_random_state(self.state, self.device)

    def is_now(self) -> bool:
        """Whether buffers and random numbers are as they were then, to the bit."""
        return all(same(value, self.buffers[name]) for name, value in self.before.items()) and all(
            map(torch.equal, self.state, random_state(self.device))
        )


@dataclass(frozen=True)
class Check:
    """What a written step is held against."""

    function: Callable[..., Result]
    arguments: Arguments
    into: list[Tensor]
    #: The dimension of samples.
    samples: int
    again: Again
    #: Seconds of the process that the function and the written step took, of the last orders.
    seconds: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=ORDERS))

    @property
    def saves(self) -> float:
        """The share of the function's time that the written step does not take, measured."""
        theirs = median(seconds for seconds, _ in self.seconds)
        return 1 - median(seconds for _, seconds in self.seconds) / max(theirs, 1e-9)

    def differences(self, written: WrittenStep) -> set[int]:
        """Numbers among (losses, *gradients, *buffers) that are not the function's to the bit.

        Samples are taken in several orders: another order of a sum rounds differently in some only.
        """
        weights, buffers, batch, factors = self.arguments
        for shift in range(ORDERS):
            rolled = partial(_rolled, shift=shift, samples=self.samples)
            case = (weights, buffers, map_tensors(rolled, batch), factors)
            started = time.process_time()
            losses, grads = self.function(*case)
            theirs = time.process_time() - started
            wanted = [losses, *grads, *(value.clone() for value in buffers.values())]
            self.again.restore()
            started = time.process_time()
            with torch.no_grad():
                losses = written.run(*flat(case), *self.into)
            self.seconds.append((theirs, time.process_time() - started))
            given = [losses, *self.into, *buffers.values()]
            other = {
                i for i, (a, b) in enumerate(zip(given, wanted, strict=True)) if not same(a, b)
            }
            self.again.restore()
            if other:
                return other
        return set()


def with_bits(make: Callable[..., WrittenStep], check: Check) -> WrittenStep | None:
    """A step with all changes that keep the bits of losses, gradients and buffers."""
    as_recorded, count = AsRecorded(), len(check.into)
    while True:
        written = make(as_recorded=as_recorded)
        other = check.differences(written)
        if not other:
            return replace(written, saves=check.saves)
        gradients = frozenset(number - 1 for number in other if 0 < number <= count)
        if len(gradients) == len(other) and not gradients <= as_recorded.gradients:
            as_recorded = replace(as_recorded, gradients=as_recorded.gradients | gradients)
        elif not as_recorded.sums:  # what differs in the forward pass differs in all gradients
            as_recorded = AsRecorded(sums=True)
        else:
            return None


def _rolled(values: Tensor, shift: int, samples: int) -> Tensor:
    """Samples in another order; shared by all places where they were."""
    if not shift or values.ndim <= samples:
        return values
    if samples and values.stride(0) == 0:
        return values[0].roll(shift, 0).expand(values.shape)
    return values.roll(shift, samples)


def flat(arguments: Arguments) -> list[PyTree]:
    weights, buffers, batch, factors = arguments
    return [*weights, *buffers.values(), *leaves_of(batch), factors]


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(), b.nan_to_num())
