"""An optimizer over a row of flat weights, and its state over the model's own parameters.

An optimizer that treats every number alike (see `ELEMENTWISE`) gets the row as one flat parameter:
the same bits as on the module's parameters, measured for each optimizer, with one kernel in place
of one per tensor. A state is saved as it is and spread over the parameters, or gathered from them,
where a checkpoint was made by the other kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.build_optimizer import make_optimizer
from lrsearch.training.flat_weights import Layout, WeightsRow

#: Optimizers whose step treats every number by itself, whatever tensor it is in. Adafactor and Muon
#: look at shapes, and what a class of another package does is not known.
ELEMENTWISE = frozenset(OPTIMIZERS) - {"adafactor", "muon"}
#: Parameters, or their numbers, under `params`, and the arguments that hold for them.
ParamGroup = Fields
#: What an optimizer keeps of one parameter: tensors of its shape, and single numbers.
ParameterState = dict[str, Tensor | float]


@dataclass(kw_only=True)
class OptimizerState:
    """A torch optimizer's state dict; parameters are numbered through all groups."""

    state: dict[int, ParameterState] = field(default_factory=dict)
    param_groups: list[ParamGroup] = field(default_factory=list)


def is_apart(optimizer: Fields) -> bool:
    """Whether matrices and vectors are two groups of this optimizer."""
    return bool(optimizer.get("weight_decay_exclude_1d"))


def flat_optimizer(optimizer: Fields, row: WeightsRow) -> torch.optim.Optimizer:
    """The real optimizer of an elementwise recipe over a row as one flat parameter, or two."""
    parameters = []
    for weights, grads in row.parts(apart=is_apart(optimizer)):
        parameter = nn.Parameter(weights)
        parameter.grad = grads
        parameters.append(parameter)
    if not is_apart(optimizer):
        return make_optimizer(optimizer, parameters)
    groups: list[Document] = [{"params": [parameter]} for parameter in parameters]
    if len(groups) > 1 or not row.layout.vectors:
        groups[-1] = {**groups[-1], "weight_decay": 0.0}
    return make_optimizer(optimizer, groups)


def move_flat(optimizer: torch.optim.Optimizer, recipe: Fields, row: WeightsRow) -> None:
    """Let a flat optimizer go on in another row, which holds the same numbers."""
    parts = row.parts(apart=is_apart(recipe))
    for group, (weights, grads) in zip(optimizer.param_groups, parts, strict=True):
        [parameter] = group["params"]
        parameter.data, parameter.grad = weights, grads


def spread_state(
    flat: OptimizerState, groups: Sequence[Sequence[str]], layout: Layout
) -> OptimizerState:
    """The state of a flat optimizer as one over the parameters `groups` name, in that order.

    Every tensor of the state is as long as its part of the row, or one number.
    """
    sizes = dict(zip(layout.names, layout.shapes, strict=True))
    spread, first = OptimizerState(), 0
    for number, (group, names) in enumerate(zip(flat.param_groups, groups, strict=True)):
        whole = flat.state.get(number, {})
        places = _places(layout, names)
        for index, name in enumerate(names, start=first):
            start, shape = places[name], sizes[name]
            piece = {
                key: value[start : start + shape.numel()].view(shape).clone()
                if isinstance(value, Tensor) and value.ndim
                else _copy(value)
                for key, value in whole.items()
            }
            if piece:
                spread.state[index] = piece
        spread.param_groups.append({**group, "params": list(range(first, first + len(names)))})
        first += len(names)
    return spread


def gather_state(
    spread: OptimizerState, groups: Sequence[Sequence[str]], layout: Layout
) -> OptimizerState | None:
    """The inverse of `spread_state`: the state of a flat optimizer.

    None where the parameters have come apart: some had no gradient in some step.
    """
    flat = OptimizerState()
    for number, (group, names) in enumerate(zip(spread.param_groups, groups, strict=True)):
        by_name = dict(zip(names, group["params"], strict=True))
        ordered = [by_name[name] for name in _places(layout, names)]
        pieces = [spread.state.get(index, {}) for index in ordered]
        if not all(_alike(piece, pieces[0]) for piece in pieces):
            return None
        if pieces[0]:
            flat.state[number] = {
                key: torch.cat([torch.as_tensor(piece[key]).flatten() for piece in pieces])
                if isinstance(value, Tensor) and value.ndim
                else _copy(value)
                for key, value in pieces[0].items()
            }
        flat.param_groups.append({**group, "params": [number]})
    return flat


def _places(layout: Layout, names: Sequence[str]) -> dict[str, int]:
    """Where each of these parameters begins in their part of a row, in the order of the row."""
    places, start = {}, 0
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        if name in names:
            places[name] = start
            start += shape.numel()
    return places


def _alike(state: ParameterState, other: ParameterState) -> bool:
    """Whether the states of two parameters have the same numbers beside what is as long as they."""
    if state.keys() != other.keys():
        return False
    return all(
        a.layout == b.layout == torch.strided and (a.ndim > 0 or bool(a == b))
        if isinstance(a, Tensor) and isinstance(b, Tensor)
        else a is b or a == b
        for a, b in ((state[key], other[key]) for key in state)
    )


def _copy(value: Tensor | float) -> Tensor | float:
    return value.clone() if isinstance(value, Tensor) else value
