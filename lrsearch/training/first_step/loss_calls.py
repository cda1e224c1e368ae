"""The losses of torch that a task's code calls, and what is wrong with what they get."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import PyTree

from lrsearch.training.first_step.words import kind, words

CLASS_LOSSES = ("cross_entropy", "nll_loss")
BINARY_LOSSES = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
#: These broadcast what they get, and warn at most.
ELEMENT_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_LOSSES = {getattr(functional, n): n for n in (*CLASS_LOSSES, *BINARY_LOSSES, *ELEMENT_LOSSES)}
#: What torch calls the function that has made a tensor.
SOFTMAX, SIGMOID = "SoftmaxBackward0", "SigmoidBackward0"


@dataclass(frozen=True, kw_only=True)
class LossCall:
    """A call of one of torch's losses."""

    name: str
    output: PyTree
    target: PyTree
    ignore_index: int = -100

    def classes(self) -> int | None:
        """How many classes the output tells apart, as this loss reads it."""
        if not isinstance(self.output, Tensor) or not self.output.ndim:
            return None
        return int(self.output.shape[1 if self.output.ndim > 1 else 0])


class LossCalls(TorchFunctionMode):
    """Notes each call of a loss of torch, and lets it pass."""

    def __init__(self) -> None:
        self.calls: list[LossCall] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[PyTree] = (),
        kwargs: Mapping[str, PyTree] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in _LOSSES:
            given = dict(zip(("input", "target"), args, strict=False)) | named
            ignored = given.get("ignore_index", -100)
            self.calls.append(
                LossCall(
                    name=_LOSSES[func],
                    output=given.get("input"),
                    target=given.get("target"),
                    ignore_index=ignored,
                )
            )
        return func(*args, **named)


def remedy(call: LossCall) -> str | None:
    """What is wrong with a call that has raised, and what to write; None if that is unknown."""
    output, target = call.output, call.target
    if not isinstance(output, Tensor):
        return _no_tensor(call)
    if not isinstance(target, Tensor):
        return f"its targets are {words(target)}, but a tensor is needed"
    if target.requires_grad and not output.requires_grad:
        return (
            f"{call.name} got the targets first ({words(output)}), then the model's outputs "
            f"({words(target)}); write loss(output, target), in this order"
        )
    if call.name in CLASS_LOSSES:
        return _class_numbers(call, output, target)
    return _like_outputs(call, output, target)


def _no_tensor(call: LossCall) -> str:
    got = f"{call.name} takes a tensor of outputs, but the model gives {kind(call.output)}"
    if isinstance(call.output, tuple | list):
        return f"{got}, {words(call.output)}; hand it output[0], or the item that is meant"
    if hasattr(call.output, "logits"):
        return f"{got}; hand it output.logits"
    return f"{got}; hand it the tensor in it"


def _class_numbers(call: LossCall, output: Tensor, target: Tensor) -> str | None:
    got = f"{call.name} got outputs {words(output)} and targets {words(target)}"
    classes = call.classes()
    wanted = (len(output), *output.shape[2:]) if output.ndim > 1 else ()
    if target.shape == output.shape and output.ndim > 1 and not target.is_floating_point():
        return f"{got}; class numbers are accepted: write target.argmax(1), or .float() for one-hot"
    if target.ndim == len(wanted) + 1 and target.shape[-1] == 1:
        return (
            f"{got}; class numbers of shape {list(wanted)} are accepted: write target.squeeze(-1)"
        )
    if target.shape == wanted and target.dtype != torch.int64:
        return f"{got}; class numbers are int64: write target.long()"
    if output.ndim > 2 and target.shape == output.shape[:-1]:
        last = output.ndim - 1
        return f"{got}; the classes stand in dimension 1: write output.movedim({last}, 1)"
    if target.shape == wanted and classes is not None:
        return labels_out_of_range(target, classes, call.ignore_index)
    return f"{got}; outputs [N, C, ...] and class numbers [N, ...] are accepted"


def labels_out_of_range(target: Tensor, classes: int, ignore_index: int = -100) -> str | None:
    """What to do about labels that are no classes of the model, if there are any."""
    kept = target[target != ignore_index]
    if not len(kept):
        return None
    least, most = int(kept.min()), int(kept.max())
    if least >= 0 and most < classes:
        return None
    shift = "take 1 from each label" if least == 1 and most == classes else "mend the labels"
    grow = f", or give the model {most + 1} outputs" if most >= classes else ""
    return (
        f"labels go from {least} to {most}, but the model has {classes} outputs, so 0 to "
        f"{classes - 1} are accepted; {shift}{grow}"
    )


def _like_outputs(call: LossCall, output: Tensor, target: Tensor) -> str | None:
    got = f"{call.name} got outputs {words(output)} and targets {words(target)}"
    if output.shape != target.shape:
        return f"{got}; the same shape is needed: write {_alike(output, target)}"
    if not target.is_floating_point():
        return f"{got}; targets are floats: write target.float()"
    return None


def _alike(output: Tensor, target: Tensor) -> str:
    """What gives outputs and targets the same shape."""
    if output.ndim == target.ndim + 1 and output.shape[-1] == 1:
        return "output.squeeze(-1)"
    if target.ndim == output.ndim + 1 and target.shape[-1] == 1:
        return "target.squeeze(-1)"
    if output.numel() == target.numel():
        return "target.reshape(output.shape)"
    return f"a model whose outputs have the targets' shape {list(target.shape)}"


def integer_targets(calls: Sequence[LossCall]) -> str | None:
    """What to do about a backward pass that fails because targets are integers."""
    for call in calls:
        target = call.target
        if call.name in CLASS_LOSSES or not isinstance(target, Tensor):
            continue
        if not target.is_floating_point():
            return f"{call.name} got targets {words(target)}; write target.float()"
    return None


def doubts(calls: Sequence[LossCall]) -> Iterator[str]:
    """What runs, but hardly as it was meant."""
    for call in calls:
        output, target = call.output, call.target
        if not isinstance(output, Tensor) or not isinstance(target, Tensor):
            continue
        made_by = "" if output.grad_fn is None else output.grad_fn.name()
        if call.name == "cross_entropy" and made_by == SOFTMAX:
            yield "cross_entropy gets probabilities, but takes logits; leave the softmax out"
        if call.name == "nll_loss" and output.numel() and float(output.max()) > 0:
            yield (
                "nll_loss gets outputs above 0, but takes log-probabilities; write cross_entropy, "
                "or put a log_softmax before it"
            )
        if call.name == "binary_cross_entropy_with_logits" and made_by == SIGMOID:
            yield f"{call.name} gets probabilities, but takes logits; leave the sigmoid out"
        if call.name in ELEMENT_LOSSES and output.shape != target.shape:
            yield (
                f"{call.name} gets outputs {words(output)} and targets {words(target)}, and "
                f"compares every output with every target; write {_alike(output, target)}"
            )


def broadcasts(loss: Callable[..., Any], output: PyTree, target: PyTree) -> str | None:
    """A doubt about a loss of the user's own whose value depends on [N, 1] beside [N]."""
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        return None
    if {output.ndim, target.ndim} != {1, 2} or output.numel() != target.numel():
        return None
    if len(output) != len(target) or len(target) < 2 or not target.is_floating_point():
        return None
    as_is, flat = float(loss(output, target)), float(loss(output.flatten(), target.flatten()))
    if math.isclose(as_is, flat, rel_tol=1e-4):
        return None
    return (
        f"the loss gets outputs {words(output)} and targets {words(target)}, and its value is "
        f"{as_is:.4g}, where it is {flat:.4g} of equal shapes; write {_alike(output, target)}"
    )
