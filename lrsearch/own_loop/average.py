"""The weight average of a role, which a script validates inside `with run.average():`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lrsearch.training.ema import Ema


class Average:
    """Average of the weights and of the statistics of what an optimizer trains."""

    def __init__(self, model: nn.Module, span: float) -> None:
        """`span` in optimizer steps: the average reaches about so far back."""
        self._model = model
        self._ema = Ema(model, span=span)

    def update(self) -> None:
        """Call once after every optimizer step."""
        self._ema.update()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model holds the average; afterwards, to the bit, what it held before."""
        buffers = [name for name, _ in self._model.named_buffers()]
        names = list(dict.fromkeys([*self._ema.names, *buffers]))
        before = [value.detach().clone() for value in self._values(names)]
        _copy(self._values(self._ema.names), self._ema.average)
        try:
            yield
        finally:
            _copy(self._values(names), before)

    def _values(self, names: Sequence[str]) -> list[Tensor]:
        # Anew each time: a module may replace a buffer instead of writing into it.
        found = []
        for name in names:
            path, _, attribute = name.rpartition(".")
            found.append(getattr(self._model.get_submodule(path), attribute))
        return found

    def state_dict(self) -> dict[str, Tensor]:
        return dict(zip(self._ema.names, self._ema.average, strict=True))

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        _copy(self._ema.average, [state[name] for name in self._ema.names])


@torch.no_grad()
def _copy(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)
