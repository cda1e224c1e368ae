"""What a user's function sums over, seen from the reductions of torch that it calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lrsearch.training.pooling.counts import Count, terms_of_loss

#: What a function returns, or is given: a tensor or anything else.
Value = Any
_SCALINGS = frozenset(["mul", "mul_", "neg", "neg_", "negative"])
_ADDITIONS = frozenset(["add", "add_", "sub", "sub_", "rsub", "__rsub__"])
_DIVISIONS = frozenset(["div", "div_", "true_divide", "__truediv__"])
#: What changes the type or the place of a number, not the number.
_SAME = frozenset(["item", "__float__", "float", "double", "to", "detach", "clone", "cpu"])
_CLAMPS = frozenset(["clamp", "clamp_min", "clip"])
_MOVED = _CLAMPS | _ADDITIONS
_MASKED = frozenset(["__getitem__", "masked_select"])


@dataclass(frozen=True)
class Noted:
    """What a number is: a mean over `count`, or, where that is None, a sum."""

    count: Count | None
    #: How many numbers were summed.
    numbers: int


class Observed(TorchFunctionMode):
    """Sees the calls of torch inside, and notes of means and sums what they are over.

    Noted are losses of torch.nn.functional; means and sums over all entries of a tensor that has
    one for each sample or each target, or those that a mask has picked; a sum divided by the sum of
    a mask or by the number of entries; and what arithmetic with plain numbers makes of these. What
    is computed does not change.
    """

    def __init__(self, size: int | None, entries: int | None = None) -> None:
        """`size`: samples of the batch; `entries`: numbers in its targets; None: not known."""
        super().__init__()
        self.size, self.entries = size, entries
        #: By identity, beside the value, which is so kept alive.
        self._noted: dict[int, tuple[Value, Noted]] = {}
        #: Sums of any tensor, a mask's for one: how many numbers, and what is divided by for it.
        self._sums: dict[int, tuple[Value, int, Tensor]] = {}
        #: What a mask has picked.
        self._picked: dict[int, Value] = {}

    def of(self, value: Value) -> Noted | None:
        """What this value is; None where that was not seen."""
        found = self._noted.get(id(value))
        return None if found is None else found[1]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        noted = self._noted
        # Before the call: an operation in place keeps the identity.
        before = [self.of(value) for value in args] if noted else [None] * len(args)
        result = func(*args, **kwargs)
        found = self._note(func, args, kwargs, before, result)
        if found is None:
            noted.pop(id(result), None)
        elif isinstance(result, Tensor | float):
            noted[id(result)] = (result, found)
        return result

    def _note(
        self, func: Any, args: Any, kwargs: Any, before: Sequence[Noted | None], result: Value
    ) -> Noted | None:
        terms = terms_of_loss(func, args, kwargs)
        if terms is not None:
            if terms.of is not None and not self._has_terms(terms.of):
                return None
            return Noted(None if terms.is_sum else terms.count, terms.numbers)
        name = getattr(func, "__name__", "")
        if name in ("mean", "sum"):
            return self._reduction(name, args, kwargs, result)
        if self._sums and name in _MOVED and args and id(args[0]) in self._sums:
            self._keep_from_zero(name, args, result)
        if name in _MASKED and _has_mask(args):
            self._picked[id(result)] = result
        if name in _DIVISIONS and len(args) == 2:
            return self._quotient(args[1], before[0])
        if name in _SAME and args:
            return before[0]
        return _arithmetic(name, args, before)

    def _reduction(self, name: str, args: Any, kwargs: Any, result: Value) -> Noted | None:
        if len(args) != 1 or not {"dim", "axis"}.isdisjoint(kwargs):
            return None
        numbers = args[0].numel()
        if name == "sum":
            self._sums[id(result)] = (result, numbers, result)
        if not self._has_terms(args[0]):
            return None
        return Noted(numbers if name == "mean" else None, numbers)

    def _keep_from_zero(self, name: str, args: Any, result: Value) -> None:
        """`sum.clamp(min=1)` and `sum + 1e-8` are divisors; where the sum is 0, nothing counts."""
        is_moved = name in _ADDITIONS and any(isinstance(other, Tensor) for other in args[1:])
        if is_moved or result is args[0]:
            self._sums.pop(id(result), None)
            return
        _, numbers, count = self._sums[id(args[0])]
        self._sums[id(result)] = (result, numbers, torch.where(count == 0, 0, result))

    def _has_terms(self, terms: Tensor) -> bool:
        """Whether a tensor has an entry for each sample, for each target, or what a mask picked."""
        if self.size is None or id(terms) in self._picked:
            return True
        return (terms.ndim > 0 and len(terms) == self.size) or terms.numel() == self.entries

    def _quotient(self, divisor: Value, before: Noted | None) -> Noted | None:
        """A sum over its count is a mean; over another number it is what it was."""
        if before is None:
            return None
        if isinstance(divisor, Tensor):
            _, numbers, count = self._sums.get(id(divisor), (None, None, divisor))
            is_count = before.count is None and numbers == before.numbers
            return Noted(count, before.numbers) if is_count else None
        if before.count is None and divisor in (before.numbers, self.size):
            return Noted(divisor, before.numbers)
        return before


def _arithmetic(name: str, args: Any, before: Sequence[Noted | None]) -> Noted | None:
    """What is known of a product with a number, and of a sum of numbers."""
    known = [noted for noted in before if noted is not None]
    if not known:
        return None
    others = [value for value in args if not isinstance(value, Tensor)]
    if len(known) + len(others) < len(args):
        return None
    if name in _SCALINGS and len(known) == 1:
        return known[0]
    if name not in _ADDITIONS:
        return None
    counts = [noted.count for noted in known if noted.count is not None]
    if len(counts) < len(known):  # sums, which a number or a mean would not leave one
        return known[0] if not counts and not others else None
    return known[0] if all(float(count) == float(counts[0]) for count in counts[1:]) else None


def _has_mask(args: Any) -> bool:
    index = args[1] if len(args) > 1 else None
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, Tensor) and part.dtype == torch.bool for part in parts)
