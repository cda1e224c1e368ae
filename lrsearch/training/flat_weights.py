"""Flat weights: the weights of K trials as rows of one tensor [K, P], their gradients as another.

A trial's module and its optimizer work on views of a row. An optimizer that treats every number
alike (see `ELEMENTWISE`) gets the row as one flat parameter: the same bits as on the module's
parameters, measured for each of them, with one kernel in place of one per tensor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.recipe.build_optimizer import make_optimizer

#: Optimizers whose step treats every number by itself, whatever tensor it is in. Adafactor and Muon
#: look at shapes, and what a class of another package does is not known.
ELEMENTWISE = frozenset(OPTIMIZERS) - {"adafactor", "muon"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where each trained parameter of a model lies in a row: matrices first, then vectors."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    #: Where the vectors begin, which some recipes decay less.
    vectors: int
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
            vectors=sum(p.numel() for _, p in matrices),
            size=sum(p.numel() for _, p in trained),
            dtype=trained[0][1].dtype,
        )

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

    def parts(self, *, apart: bool) -> list[tuple[Tensor, Tensor]]:
        """Weights and gradients, whole, or matrices and vectors apart as far as there are any."""
        if not apart:
            return [(self.weights, self.grads)]
        cut = self.layout.vectors
        halves = [(self.weights[:cut], self.grads[:cut]), (self.weights[cut:], self.grads[cut:])]
        return [half for half in halves if len(half[0])]


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
        row = self.row(place)
        for name, view in self.layout.views(row.weights).items():
            view.copy_(model.get_parameter(name))
        for name, value in others(model).items():
            self.others[name][place].copy_(value)
        self.bind(place, model)
        return row

    def bind(self, place: int, model: nn.Module) -> None:
        """Let a model's parameters, gradients and buffers be views of a place."""
        row = self.row(place)
        grads = self.layout.views(row.grads)
        for name, view in self.layout.views(row.weights).items():
            parameter = model.get_parameter(name)
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


def is_apart(optimizer: Mapping[str, Any]) -> bool:
    """Whether matrices and vectors are two groups of this optimizer."""
    return bool(optimizer.get("weight_decay_exclude_1d"))


def flat_optimizer(optimizer: Mapping[str, Any], row: WeightsRow) -> torch.optim.Optimizer:
    """The real optimizer of an elementwise recipe over a row as one flat parameter, or two."""
    parameters = []
    for weights, grads in row.parts(apart=is_apart(optimizer)):
        parameter = nn.Parameter(weights)
        parameter.grad = grads
        parameters.append(parameter)
    if not is_apart(optimizer):
        return make_optimizer(optimizer, parameters)
    groups: list[dict[str, Any]] = [{"params": [parameter]} for parameter in parameters]
    if len(groups) > 1 or not row.layout.vectors:
        groups[-1]["weight_decay"] = 0.0
    return make_optimizer(optimizer, groups)


def move_flat(optimizer: torch.optim.Optimizer, recipe: Mapping[str, Any], row: WeightsRow) -> None:
    """Let a flat optimizer go on in another row, which holds the same numbers."""
    parts = row.parts(apart=is_apart(recipe))
    for group, (weights, grads) in zip(optimizer.param_groups, parts, strict=True):
        [parameter] = group["params"]
        parameter.data, parameter.grad = weights, grads


def spread_state(
    state: Mapping[str, Any], groups: Sequence[Sequence[str]], layout: Layout
) -> dict[str, Any]:
    """The state dict of a flat optimizer as one over the parameters `groups` name, in that order.

    Every tensor of the state is as long as its part of the row, or one number.
    """
    sizes = dict(zip(layout.names, layout.shapes, strict=True))
    spread: dict[str, Any] = {"state": {}, "param_groups": []}
    first = 0
    for number, (group, names) in enumerate(zip(state["param_groups"], groups, strict=True)):
        flat = state["state"].get(number, {})
        places = _places(layout, names)
        for index, name in enumerate(names, start=first):
            start, shape = places[name], sizes[name]
            piece = {
                key: value[start : start + shape.numel()].view(shape).clone()
                if isinstance(value, Tensor) and value.ndim
                else _copy(value)
                for key, value in flat.items()
            }
            if piece:
                spread["state"][index] = piece
        spread["param_groups"].append({**group, "params": list(range(first, first + len(names)))})
        first += len(names)
    return spread


def gather_state(
    state: Mapping[str, Any], groups: Sequence[Sequence[str]], layout: Layout
) -> dict[str, Any] | None:
    """The inverse of `spread_state`: the state dict of a flat optimizer.

    None where the parameters have come apart: some had no gradient in some step.
    """
    flat: dict[str, Any] = {"state": {}, "param_groups": []}
    for number, (group, names) in enumerate(zip(state["param_groups"], groups, strict=True)):
        by_name = dict(zip(names, group["params"], strict=True))
        ordered = [by_name[name] for name in _places(layout, names)]
        pieces = [state["state"].get(index, {}) for index in ordered]
        if not all(_alike(piece, pieces[0]) for piece in pieces):
            return None
        if pieces[0]:
            flat["state"][number] = {
                key: torch.cat([piece[key].flatten() for piece in pieces])
                if isinstance(value, Tensor) and value.ndim
                else _copy(value)
                for key, value in pieces[0].items()
            }
        flat["param_groups"].append({**group, "params": [number]})
    return flat


def _places(layout: Layout, names: Sequence[str]) -> dict[str, int]:
    """Where each of these parameters begins in their part of a row, in the order of the row."""
    places, start = {}, 0
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        if name in names:
            places[name] = start
            start += shape.numel()
    return places


def _alike(state: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the states of two parameters have the same numbers beside what is as long as they."""
    if state.keys() != other.keys():
        return False
    return all(
        a.layout == b.layout == torch.strided and (a.ndim > 0 or bool(a == b))
        if isinstance(a, Tensor) and isinstance(b, Tensor)
        else a is b or a == b
        for a, b in ((state[key], other[key]) for key in state)
    )


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
