"""Flat weights: the weights of K trials as rows of one tensor [K, P], their gradients as another.

A trial's module works on views of a row, and its optimizer on the row as a whole where that is the
same (see `flat_optimizer`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Run:
    """Neighbours in a row that belong to one parameter group."""

    names: tuple[str, ...]
    #: Where they begin and end.
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where each trained parameter of a model lies in a row: matrices first, then vectors.

    So that the vectors, which some recipes decay less, lie together.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    #: Numbers in a row.
    size: int
    dtype: torch.dtype

    @classmethod
    def of(cls, model: nn.Module) -> "Layout | None":
        """None where the parameters cannot lie in one row.

        They are of several types, have a layout of their own, or share memory.
        """
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        kinds = {(p.dtype, p.device) for _, p in trained}
        if len(kinds) != 1 or not all(p.is_contiguous() for _, p in trained):
            return None
        places = [p.data_ptr() for _, p in trained if p.numel()]
        if len(set(places)) < len(places):
            return None
        matrices = [(name, p) for name, p in trained if p.ndim > 1]
        ordered = matrices + [(name, p) for name, p in trained if p.ndim <= 1]
        return cls(
            names=tuple(name for name, _ in ordered),
            shapes=tuple(p.shape for _, p in ordered),
            size=sum(p.numel() for _, p in trained),
            dtype=trained[0][1].dtype,
        )

    def runs(self, names: Collection[str]) -> list[Run]:
        """Where these parameters lie: as few pieces as there are, in the order of the row."""
        wanted, runs, start, beside = set(names), list[Run](), 0, False
        for name, shape in zip(self.names, self.shapes, strict=True):
            stop = start + shape.numel()
            if name in wanted and beside:
                runs[-1] = Run(names=(*runs[-1].names, name), start=runs[-1].start, stop=stop)
            elif name in wanted:
                runs.append(Run(names=(name,), start=start, stop=stop))
            start, beside = stop, name in wanted
        return runs

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Each parameter by name: [..., *its shape] views of rows [..., P]."""
        pieces = torch.split(rows, [shape.numel() for shape in self.shapes], dim=-1)
        return {
            name: piece.view((*rows.shape[:-1], *shape))
            for name, piece, shape in zip(self.names, pieces, self.shapes, strict=True)
        }

    @torch.no_grad()
    def row(self, model: nn.Module) -> "WeightsRow":
        """A row for one model, whose trained parameters are views of it from now on."""
        weights = torch.cat([model.get_parameter(name).flatten() for name in self.names])
        for name, view in self.views(weights).items():
            model.get_parameter(name).data = view
        return WeightsRow(layout=self, weights=weights, grads=torch.zeros_like(weights))


@dataclass(frozen=True, kw_only=True)
class WeightsRow:
    """One trial's part of the flat weights."""

    layout: Layout
    #: Both [P].
    weights: Tensor
    grads: Tensor

    def parts(self, names: Collection[str]) -> list[tuple[Tensor, Tensor]]:
        """Weights and gradients of these parameters, a pair for each of their runs."""
        return [
            (self.weights[run.start : run.stop], self.grads[run.start : run.stop])
            for run in self.layout.runs(names)
        ]


class FlatWeights:
    """Rows for K trials of one model. Buffers, and parameters that are not trained, are stacked."""

    def __init__(self, model: nn.Module, layout: Layout, size: int) -> None:
        device = next(model.parameters()).device
        self.layout, self.size = layout, size
        #: [K, P].
        self.weights = torch.zeros(size, layout.size, dtype=layout.dtype, device=device)
        self.grads = torch.zeros_like(self.weights)
        #: Name to [K, *its shape].
        self.others = {
            name: value.detach().new_zeros((size, *value.shape))
            for name, value in others(model).items()
        }

    def row(self, place: int) -> WeightsRow:
        return WeightsRow(layout=self.layout, weights=self.weights[place], grads=self.grads[place])

    @torch.no_grad()
    def put(self, place: int, model: nn.Module) -> WeightsRow:
        """Copy a model's numbers into a place and let the model live there."""
        row, parameters = self.row(place), dict(model.named_parameters())
        for name, view in self.layout.views(row.weights).items():
            view.copy_(parameters[name])
        for name, value in others(model).items():
            self.others[name][place].copy_(value)
        self.bind(place, model)
        return row

    def bind(self, place: int, model: nn.Module) -> None:
        """Let a model's parameters, gradients and buffers be views of a place."""
        row, parameters = self.row(place), dict(model.named_parameters())
        grads = self.layout.views(row.grads)
        for name, view in self.layout.views(row.weights).items():
            parameter = parameters[name]
            parameter.data, parameter.grad = view, grads[name]
        for name, value in others(model).items():
            # The same tensor with other memory: several modules may have it.
            value.data = self.others[name][place]

    def take(self, places: Sequence[int], size: int) -> "FlatWeights":
        """New flat weights of `size` places that begins with these."""
        taken = object.__new__(FlatWeights)
        taken.layout, taken.size = self.layout, size
        taken.weights = _rows(self.weights, places, size)
        taken.grads = torch.zeros_like(taken.weights)
        taken.others = {name: _rows(value, places, size) for name, value in self.others.items()}
        return taken


def _rows(values: Tensor, places: Sequence[int], size: int) -> Tensor:
    rows = values.new_zeros((size, *values.shape[1:]))
    rows[: len(places)] = values[list(places)]
    return rows


def others(model: nn.Module) -> dict[str, Tensor]:
    """What is not in a row: buffers, and parameters that are not trained."""
    frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    return {**dict(model.named_buffers()), **frozen}
