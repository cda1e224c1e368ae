"""Numbers next to zero, which a processor computes slowly, are zero while an optimizer steps.

Below 1.2e-38 float32 has denormal numbers, with which an operation takes an x86 processor some 150
cycles in place of one (Intel, Optimization Reference Manual, "Floating-Point Exceptions"). An
average of gradients gets there once its parameter's gradient is gone, since it falls by the same
factor each step, and squares of small gradients get there at once: AdamW's step for the MLP of
studies/digits.py grew from 31 to 200..600 us in the second half of a good recipe's training.

Weights do not change by this. The optimizers here add to a weight a multiple of an average that is
zero now and would be below 1.2e-38, divided by at least `eps`: a weight above 1e-18 rounds that
away. A square below 1.2e-38 is nothing beside `eps`, which is added to its root.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import torch
from torch.optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
)

#: Their updates are as described above; those that take signs are not, nor are unknown ones.
CONTINUOUS = frozenset({SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop})
#: The root of float32's smallest normal number is 1.1e-19, and 3.4e-18 after Adam's correction of
#: its first step: what this rounds away.
MIN_EPS = 1e-10
_SMALLEST = sys.float_info.min


class FlushDenormals(AbstractContextManager[None]):
    """A context, entered again and again, in which this thread takes denormal numbers for zero.

    Afterwards it takes them as it did before. Nothing happens where the processor has no such mode.
    """

    def __init__(self) -> None:
        self._changed = False

    def __enter__(self) -> None:
        self._changed = not is_flushed() and torch.set_flush_denormal(True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._changed:
            torch.set_flush_denormal(False)


def is_flushed() -> bool:
    """Whether this thread takes denormal numbers for zero, Python's own too."""
    return _SMALLEST / 2 == 0


def flushed_steps(optimizer: Optimizer) -> AbstractContextManager[None]:
    """The context for an optimizer's steps: FlushDenormals where they leave the same weights."""
    return FlushDenormals() if may_flush(optimizer) else nullcontext()


def may_flush(optimizer: Optimizer) -> bool:
    """Whether this optimizer's steps leave the same weights with denormal numbers as zero."""
    if type(optimizer) not in CONTINUOUS:
        return False
    groups = optimizer.param_groups
    on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
    return on_cpu and all(group.get("eps", 1) >= MIN_EPS for group in groups)
