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
        buffers = [name for name, value in model.named_buffers() if value.is_floating_point()]
        self.names = [*self.parameters, *buffers]
        #: Module and attribute of each float buffer.
        self._places = [_place(model, name) for name in buffers]
        self.average = [value.detach().clone() for value in self._live()]

    def _live(self) -> list[torch.Tensor]:
        # Buffers anew each time: a module may replace one instead of writing into it.
        buffers = [getattr(module, name) for module, name in self._places]
        return [*self.parameters.values(), *buffers]

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


def _place(model: torch.nn.Module, name: str) -> tuple[torch.nn.Module, str]:
    path, _, attribute = name.rpartition(".")
    return model.get_submodule(path), attribute
