"""The layer at which a model fails, what it got, and what to write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._pytree import PyTree, tree_leaves

from lrsearch.training.first_step.words import type_of, words

#: Layers that are called with places in a table.
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass
class Layers:
    """The layers of a model that have been entered and not left, outermost first."""

    model: nn.Module
    entered: list[tuple[nn.Module, PyTree]] = field(default_factory=list)

    def enter(self, layer: nn.Module, arguments: PyTree) -> None:
        self.entered.append((layer, arguments))

    def leave(self, layer: nn.Module, arguments: PyTree, output: PyTree) -> None:
        while self.entered and self.entered.pop()[0] is not layer:
            pass

    def innermost(self) -> tuple[str, nn.Module, PyTree] | None:
        """Name, layer and arguments of the model's own layer that was entered last."""
        names = {id(layer): name for name, layer in self.model.named_modules()}
        for layer, arguments in reversed(self.entered):
            if id(layer) in names:
                return names[id(layer)], layer, arguments
        return None


@contextmanager
def followed(model: nn.Module) -> Iterator[Layers]:
    """Notes which layers are entered and left inside."""
    layers = Layers(model)
    hooks = [
        torch_module.register_module_forward_pre_hook(layers.enter),
        torch_module.register_module_forward_hook(layers.leave),
    ]
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()


def remedy(model: nn.Module, call: Callable[[], PyTree]) -> str | None:
    """Make a call that fails once more, and say at which layer; None where it is at none."""
    with followed(model) as layers:
        try:
            call()
        except Exception:  # as before, which is what is looked into
            found = layers.innermost()
        else:
            return None
    if found is None:
        return None
    name, layer, arguments = found
    tensors = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
    if layer is model and any(True for _ in model.children()):
        return f"model.forward got {words(arguments)}"
    place = f"model.{name}" if name else "the model"
    got = f"{place}, {type(layer).__name__}, got {words(arguments[0] if arguments else arguments)}"
    advice = _advice(layer, tensors[0]) if tensors else None
    return got if advice is None else f"{got}; {advice}"


def _advice(layer: nn.Module, given: Tensor) -> str | None:
    if isinstance(layer, _EMBEDDINGS):
        return _embedding(layer, given)
    weight = next((p for p in layer.parameters() if p.is_floating_point()), None)
    if weight is not None and given.dtype != weight.dtype:
        remedy = "images.float() / 255" if given.dtype == torch.uint8 else "inputs.float()"
        return f"its weights are {type_of(weight)}: write {remedy}"
    if isinstance(layer, nn.Linear) and given.shape[-1] != layer.in_features:
        return _linear(layer, given)
    if isinstance(layer, _CONVOLUTIONS):
        return _convolution(layer, given)
    return None


def _embedding(layer: nn.Embedding | nn.EmbeddingBag, given: Tensor) -> str | None:
    if given.is_floating_point():
        return "it takes whole numbers: write inputs.long()"
    least, most = int(given.min()), int(given.max())
    if least < 0 or most >= layer.num_embeddings:
        return (
            f"its inputs go from {least} to {most}, but 0 to {layer.num_embeddings - 1} are "
            f"accepted: mend them, or write num_embeddings={most + 1}"
        )
    return None


def _linear(layer: nn.Linear, given: Tensor) -> str:
    takes = f"it takes {layer.in_features} features, not {given.shape[-1]}"
    if given.ndim > 2 and given[0].numel() == layer.in_features:
        return f"{takes}: put nn.Flatten() before it"
    return f"{takes}: write in_features={given.shape[-1]}, or mend what comes before it"


def _convolution(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, given: Tensor) -> str | None:
    takes, dimensions = layer.in_channels, len(layer.kernel_size) + 2
    shape = f"it takes [N, {takes}{', ...' if dimensions > 2 else ''}]"
    if given.ndim == dimensions - 1 and takes == 1:
        return f"{shape}, {dimensions} dimensions: write inputs.unsqueeze(1)"
    if given.ndim == dimensions and given.shape[1] != takes and given.shape[-1] == takes:
        return f"{shape}, channels in dimension 1: write inputs.movedim(-1, 1)"
    if given.ndim == dimensions and given.shape[1] != takes:
        return f"{shape}: write in_channels={given.shape[1]}, or mend the inputs"
    return None
