"""Exponential moving average of a model's weights."""

import torch
from torch import Tensor, nn

from lrsearch.training.flat_weights import WeightsRow


class Ema:
    """Average of weights and float buffers, decay 1 - 1/span per step; other buffers are copied.

    torch's AveragedModel would average integer buffers as well, and copies the module.
    """

    def __init__(self, model: nn.Module, row: WeightsRow | None = None, *, span: float) -> None:
        """`span` in optimizer steps: the average reaches about so far back."""
        self.weight = min(1.0, 1 / span)
        self.model, self.row = model, row
        parameters = dict(model.named_parameters()) if row is None else {}
        buffers = [name for name, value in model.named_buffers() if value.is_floating_point()]
        #: What is averaged besides the row.
        self.names = [*parameters, *buffers]
        self._places = [_place(model, name) for name in self.names]
        #: [P] of the row if there is one, then each of `names`.
        self.average = [value.detach().clone() for value in self._live()]

    def _live(self) -> list[Tensor]:
        # Anew each time: a module may replace a buffer instead of writing into it.
        named = [getattr(module, name) for module, name in self._places]
        return named if self.row is None else [self.row.weights, *named]

    @torch.no_grad()
    def update(self) -> None:
        """Call once after every optimizer step."""
        torch._foreach_lerp_(self.average, self._live(), self.weight)

    def weights(self) -> dict[str, Tensor]:
        """The averaged model, for `torch.func.functional_call`; others are live."""
        values = dict(self.model.named_buffers())
        named = self.average
        if self.row is not None:
            values |= self.row.layout.views(named[0])
            named = named[1:]
        return {**values, **dict(zip(self.names, named, strict=True))}


def _place(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, attribute = name.rpartition(".")
    return model.get_submodule(path), attribute
