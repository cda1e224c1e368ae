"""What a mean that torch computes is a mean over: elements, samples, valid labels, class weights.

The denominators are those of torch.nn.functional (2.13) for `reduction="mean"`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: A number, or a tensor of one on the device.
Count = Tensor | float
#: The arguments of a loss of torch's, by name.
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Terms:
    """What a loss has summed."""

    #: What it was divided by, or would have been: elements, samples, labels or their weights.
    count: Count
    #: How many numbers went into the sum.
    numbers: int
    #: Whether it was not divided.
    is_sum: bool
    #: The tensor whose entries they are; None for labels, which count whatever their shape.
    of: Tensor | None


def terms_of_loss(function: Callable[..., Any], args: Any, kwargs: Any) -> Terms | None:
    """The terms of a loss of torch.nn.functional that returns one number.

    None for other functions, and for other reductions than `mean`, `batchmean` and `sum`.
    """
    rule = _RULES.get(function)
    if rule is None:
        return None
    names, defaults = _signature(function)
    # As inspect's bind, of a call that has been made: 1 us in place of 8.
    arguments = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
    if arguments.get("size_average") is not None or arguments.get("reduce") is not None:
        return None  # deprecated since torch 0.4
    reduction = arguments["reduction"]
    if reduction not in ("mean", "batchmean", "sum"):
        return None
    first: Tensor = next(iter(arguments.values()))
    count = len(first) if reduction == "batchmean" else rule(arguments)
    terms = arguments["target"] if rule is _labels else first
    return Terms(count, terms.numel(), reduction == "sum", None if rule is _labels else first)


@cache
def _signature(function: Callable[..., Any]) -> tuple[Sequence[str], Arguments]:
    """The names of its arguments, and the defaults of them all, in their order."""
    parameters = inspect.signature(function).parameters
    return list(parameters), {name: one.default for name, one in parameters.items()}


def _elements(arguments: Arguments) -> Count:
    shapes = [value.shape for name, value in arguments.items() if name in _OPERANDS]
    shape: torch.Size = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    return shape.numel()


def _weighted_elements(arguments: Arguments) -> Count:
    """A weighted mean of mse_loss or l1_loss is divided by the sum of the weights."""
    weight: Tensor | None = arguments.get("weight")
    return _elements(arguments) if weight is None else weight.sum()


def _samples(arguments: Arguments) -> Count:
    """Losses with one term a sample: the last dimension is the classes', or the features'."""
    first: Tensor = next(iter(arguments.values()))
    return first.shape[:-1].numel()


def _sequences(arguments: Arguments) -> Count:
    log_probs: Tensor = arguments["log_probs"]  # [T, N, C] or [T, C]
    return log_probs.shape[1] if log_probs.ndim == 3 else 1


def _labels(arguments: Arguments) -> Count:
    """Valid labels, each by its class's weight; samples where targets are probabilities."""
    logits: Tensor = arguments["input"]
    target: Tensor = arguments["target"]
    weight: Tensor | None = arguments["weight"]
    if target.is_floating_point():
        return logits.numel() / logits.shape[1 if logits.ndim > 1 else 0]
    valid: Tensor = target != arguments["ignore_index"]
    if weight is None:
        return valid.sum()
    classes = target.clamp(0, len(weight) - 1)  # an ignored one may be any number
    return weight.to(logits.device)[classes].masked_fill(~valid, 0).sum()


#: Arguments whose shapes, broadcast, are that of the terms.
_OPERANDS = ("input", "target", "input1", "input2")
#: What each loss divides by.
_RULES: dict[Callable[..., Any], Callable[[Arguments], Count]] = {
    F.cross_entropy: _labels,
    F.nll_loss: _labels,
    F.mse_loss: _weighted_elements,
    F.l1_loss: _weighted_elements,
    F.smooth_l1_loss: _elements,
    F.huber_loss: _elements,
    F.binary_cross_entropy: _elements,
    F.binary_cross_entropy_with_logits: _elements,
    F.kl_div: _elements,
    F.gaussian_nll_loss: _elements,
    F.poisson_nll_loss: _elements,
    F.soft_margin_loss: _elements,
    F.hinge_embedding_loss: _elements,
    F.margin_ranking_loss: _elements,
    F.cosine_embedding_loss: _samples,
    F.multi_margin_loss: _samples,
    F.multilabel_margin_loss: _samples,
    F.multilabel_soft_margin_loss: _samples,
    F.triplet_margin_loss: _samples,
    F.triplet_margin_with_distance_loss: _samples,
    F.ctc_loss: _sequences,
}
