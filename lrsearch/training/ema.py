"""Exponential moving average of a model's weights."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from lrsearch.errors import TaskError
from lrsearch.training.flat_weights import WeightsRow

#: Statistics of what a model has seen, as batch and instance normalization keep them.
STATISTICS = ("running_mean", "running_var")


def averaged_buffers(model: nn.Module, patterns: Sequence[str] | None) -> list[str]:
    """Names of the buffers that a weight average averages; all others are copied.

    Those of floats named `running_mean` or `running_var`; or those whose whole names match one of
    `patterns`, as `fnmatch` does. The average of others means nothing: that of unit vectors
    (spectral norm) is no unit vector, that of a graph or of a counter no graph and no count.

    Raises TaskError where a pattern matches no buffer, or one that has no average.
    """
    buffers = dict(model.named_buffers())
    if patterns is None:
        return [
            name
            for name, value in buffers.items()
            if name.rpartition(".")[2] in STATISTICS and _has_average(value)
        ]
    for pattern in patterns:
        matched = [name for name in buffers if fnmatchcase(name, pattern)]
        if not matched:
            raise TaskError(
                f"averaged_buffers has {pattern!r}, which matches no buffer of the model; its "
                f"buffers are {', '.join(list(buffers)[:8]) or 'none'}"
            )
        for name in matched:
            if not _has_average(buffers[name]):
                raise TaskError(
                    f"averaged_buffers has {pattern!r}, which matches {name}, but a buffer of "
                    f"{_words(buffers[name])} has no average; name others"
                )
    return [name for name in buffers if any(fnmatchcase(name, each) for each in patterns)]


def _has_average(value: Tensor) -> bool:
    return value.is_floating_point() and value.layout is torch.strided


def _words(value: Tensor) -> str:
    layout = "" if value.layout is torch.strided else f"{value.layout} "
    return f"{layout}{value.dtype}".replace("torch.", "")


class Ema:
    """Average of weights and of buffers that are statistics, decay 1 - 1/span per step.

    Other buffers are copied: see `averaged_buffers`. torch's AveragedModel would average integer
    buffers as well, and copies the module.
    """

    def __init__(
        self,
        model: nn.Module,
        row: WeightsRow | None = None,
        *,
        span: float,
        patterns: Sequence[str] | None = None,
    ) -> None:
        """`span` in optimizer steps: the average reaches about so far back.

        `patterns`: see `averaged_buffers`, which may raise TaskError.
        """
        self.weight = min(1.0, 1 / span)
        self.model, self.row = model, row
        parameters = dict(model.named_parameters()) if row is None else {}
        buffers = averaged_buffers(model, patterns)
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
