"""Exponential moving average of a model's weights."""

import torch


class Ema:
    """Average of weights and float buffers, decay 1 - 1/span per step; other buffers are copied.

    torch's AveragedModel would average integer buffers as well, and copies the module.
    """

    def __init__(self, model: torch.nn.Module, *, span: float) -> None:
        """`span` in optimizer steps: the average reaches about so far back."""
        self.weight = min(1.0, 1 / span)
        self.model = model
        self.parameters = dict(model.named_parameters())
        self.names = [*self.parameters, *self._float_buffers()]
        self.average = [value.detach().clone() for value in self._live()]

    def _float_buffers(self) -> dict[str, torch.Tensor]:
        # Read anew each time: a module may replace a buffer instead of writing into it.
        return {k: v for k, v in self.model.named_buffers() if v.is_floating_point()}

    def _live(self) -> list[torch.Tensor]:
        return [*self.parameters.values(), *self._float_buffers().values()]

    @torch.no_grad()
    def update(self) -> None:
        """Call once after every optimizer step."""
        torch._foreach_lerp_(self.average, self._live(), self.weight)

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged model, for `torch.func.functional_call`; others are live."""
        return {
            **dict(self.model.named_buffers()),
            **dict(zip(self.names, self.average, strict=True)),
        }
