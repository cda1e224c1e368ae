"""Metrics over a whole set: of kept outputs and targets, or objects that take batch by batch."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree, tree_leaves, tree_map

from lrsearch.errors import LrsearchError, TaskError, describe
from lrsearch.task.pooled import MOST_BYTES, Pooled, Takes
from lrsearch.training.data import tensors_in
from lrsearch.training.pooling.means import Size

#: scikit-learn's functions that are given probabilities under the name of predictions.
_OF_PROBABILITIES = frozenset(["log_loss", "brier_score_loss", "d2_log_loss_score"])
#: Modules of scikit-learn whose functions take numbers as a regression gives them.
_OF_OUTPUTS = ("sklearn.metrics._regression",)
_OF_RANKS = ("sklearn.metrics._ranking",)


@runtime_checkable
class Updated(Protocol):
    """A metric that takes batch by batch, as those of torchmetrics do."""

    def update(self, *batch: Any) -> Any: ...
    def compute(self) -> Any: ...
    def reset(self) -> Any: ...


def whole_set_metric(metric: Any) -> "Pooled | Updated | None":
    """The metric as one over a whole set; None for one of batches."""
    if isinstance(metric, Pooled):
        return metric
    # A protocol looks for each of its names, which takes 9 us.
    if not isinstance(metric, FunctionType | type) and isinstance(metric, Updated):
        return metric
    if _of_scikit_learn(metric):
        return Pooled(function=metric, takes=None, most_bytes=MOST_BYTES)
    return None


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, partial):
        function = function.func
    return function


def _of_scikit_learn(function: Any) -> bool:
    return str(getattr(_plain(function), "__module__", "")).startswith("sklearn.")


@dataclass
class Kept:
    """Outputs and targets of a set on the processor, kept once for all metrics of them."""

    outputs: list[PyTree] = field(default_factory=list)
    targets: list[PyTree] = field(default_factory=list)
    bytes: int = 0

    def add(self, output: PyTree, target: PyTree) -> None:
        output, target = tree_map(_on_processor, output), tree_map(_on_processor, target)
        self.outputs.append(output)
        self.targets.append(target)
        leaves = [leaf for leaf in tree_leaves((output, target)) if isinstance(leaf, Tensor)]
        self.bytes += sum(leaf.numel() * leaf.element_size() for leaf in leaves)

    def joined(self) -> tuple[PyTree, PyTree]:
        """All samples, along the first dimension. Raises TaskError where shapes differ."""
        try:
            return tree_map(_joined, *self.outputs), tree_map(_joined, *self.targets)
        except (RuntimeError, ValueError) as error:
            raise TaskError(
                f"outputs or targets of batches cannot be joined along their first dimension "
                f"({describe(error)}); give a metric of batches, or one of torchmetrics"
            ) from error


def _on_processor(value: PyTree) -> PyTree:
    return value.detach().cpu() if isinstance(value, Tensor) else value


def _joined(*pieces: PyTree) -> PyTree:
    return torch.cat(pieces) if isinstance(pieces[0], Tensor) else list(pieces)


class OfKept:
    """A function of everything that was kept."""

    def __init__(self, name: str, metric: Pooled, kept: Kept) -> None:
        self.name, self.metric, self.kept = name, metric, kept

    def add(self, output: PyTree, target: PyTree, size: Size) -> None:
        """It is kept already. Raises TaskError where more is than the metric allows."""
        if self.kept.bytes > self.metric.most_bytes:
            raise TaskError(
                f"metric {self.name} keeps all outputs and targets of a validation: more than "
                f"{self.metric.most_bytes:,} bytes; set validation_batches, take a metric of "
                f"torchmetrics, or allow more: pooled(..., most_bytes=...)"
            )

    def value(self) -> float:
        """Raises TaskError for what is no number, or what the function raises."""
        function = self.metric.function
        takes = self.metric.takes or _takes(function)
        outputs, targets = transformed(*self.kept.joined(), takes)
        arguments = (outputs, targets)
        if _of_scikit_learn(function):
            arguments = (_array(targets), _array(outputs))
        try:
            value = function(*arguments, **self.metric.keywords)
        except LrsearchError:
            raise
        except Exception as error:
            raise TaskError(f"metric {self.name} raised {describe(error)}") from error
        return as_number(value, self.name)


class OfBatches:
    """A copy of a metric that is given batch after batch."""

    def __init__(self, name: str, metric: Updated) -> None:
        self.name, self.metric = name, copy.deepcopy(metric)
        self.metric.reset()
        self._is_placed = False

    def _place(self, device: torch.device) -> None:
        """Move to where the outputs are."""
        if isinstance(self.metric, nn.Module):
            self.metric.to(device)
        self._is_placed = True

    def add(self, output: PyTree, target: PyTree, size: Size) -> None:
        """Raises TaskError for what the metric raises."""
        try:
            if not self._is_placed:
                self._place(next(tensors_in(output)).device)
            self.metric.update(output, target)
        except Exception as error:
            raise TaskError(f"metric {self.name} raised {describe(error)}") from error

        self._check_memory()

    def _check_memory(self) -> None:
        """Some of torchmetrics keep what they are given in lists. Raises TaskError."""
        lists = [state for state in vars(self.metric).values() if isinstance(state, list)]
        tensors = [tensor for state in lists for tensor in state if isinstance(tensor, Tensor)]
        if sum(tensor.numel() * tensor.element_size() for tensor in tensors) > MOST_BYTES:
            raise TaskError(
                f"metric {self.name} ({type(self.metric).__name__}) keeps more than "
                f"{MOST_BYTES:,} bytes of a validation; set validation_batches, or let it count "
                f"in bins (such as thresholds=200)"
            )

    def value(self) -> float:
        """Raises TaskError for what is no number."""
        try:
            value = self.metric.compute()
        except Exception as error:
            raise TaskError(f"metric {self.name} raised {describe(error)}") from error
        return as_number(value, self.name)


def as_number(value: Any, name: str) -> float:
    """Raises TaskError."""
    if isinstance(value, Tensor) and value.numel() != 1:
        what = f"a tensor of shape {tuple(value.shape)}"
    elif not hasattr(value, "__float__"):
        what = type(value).__name__
    else:
        return float(value)
    raise TaskError(f"metric {name} gave {what}, but one number is needed; average it, or choose")


def _takes(function: Callable[..., Any]) -> Takes:
    """What a function gets where the task does not say."""
    function = _plain(function)
    module = str(getattr(function, "__module__", ""))
    if not module.startswith("sklearn.") or module in _OF_OUTPUTS:
        return "outputs"
    name = getattr(function, "__name__", "")
    return "probabilities" if module in _OF_RANKS or name in _OF_PROBABILITIES else "classes"


def transformed(outputs: PyTree, targets: PyTree, takes: Takes) -> tuple[PyTree, PyTree]:
    """Logits as classes or probabilities, one entry for each label; and the targets.

    Raises TaskError where they are no tensors.
    """
    if takes == "outputs":
        return outputs, targets
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise TaskError(
            f"pooled(takes={takes!r}) needs outputs and targets that are tensors, but they are "
            f"{type(outputs).__name__} and {type(targets).__name__}"
        )
    if not outputs.is_floating_point():
        return outputs, targets  # classes already
    if outputs.ndim == targets.ndim + 1 and outputs.shape[1] > 1:
        rows, labels = outputs.movedim(1, -1).flatten(0, -2), targets.flatten()
        if takes == "classes":
            return rows.argmax(1), labels
        shares = rows.float().softmax(1)
        return (shares[:, 1] if shares.shape[1] == 2 else shares), labels
    logits = outputs.reshape(targets.shape)
    return ((logits > 0).long() if takes == "classes" else logits.float().sigmoid()), targets


def _array(value: PyTree) -> Any:
    """For numpy, which lacks bf16."""
    if not isinstance(value, Tensor):
        return value
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
