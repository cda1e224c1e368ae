"""An optimizer over a row of flat weights, and its state over the model's own parameters.

An optimizer that treats every number alike (see `ELEMENTWISE`) gets the row as one flat parameter:
the same bits as on the module's parameters, measured for each optimizer, with one kernel in place
of one per tensor. With parameter groups each group gets its runs of the row, one flat parameter
each. A state is saved as it is and spread over the parameters, or gathered from them, where a
checkpoint was made by the other kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.plain_data import Fields
from lrsearch.recipe.build_optimizer import make_optimizer
from lrsearch.recipe.parameter_groups import ParameterGroup
from lrsearch.training.flat_weights import Layout, WeightsRow

#: Optimizers whose step treats every number by itself, whatever tensor it is in. Adafactor and Muon
#: look at shapes, and what a class of another package does is not known.
ELEMENTWISE = frozenset(OPTIMIZERS) - {"adafactor", "muon"}
#: Numbers of parameters under `params`, and the arguments that hold for them.
ParamGroup = Fields
#: What an optimizer keeps of one parameter: tensors of its shape, and single numbers.
ParameterState = dict[str, Tensor | float]


@dataclass(kw_only=True)
class OptimizerState:
    """A torch optimizer's state dict; parameters are numbered through all groups."""

    state: dict[int, ParameterState] = field(default_factory=dict)
    param_groups: list[ParamGroup] = field(default_factory=list)


def flat_optimizer(
    optimizer: Fields, groups: Sequence[ParameterGroup], row: WeightsRow
) -> torch.optim.Optimizer:
    """The real optimizer of an elementwise recipe over the runs of a row."""
    made = []
    for group in groups:
        parameters = []
        for weights, grads in row.parts(group.names):
            parameter = nn.Parameter(weights)
            parameter.grad = grads
            parameters.append(parameter)
        made.append(group.torch_group(parameters, optimizer["lr"]))
    return make_optimizer(optimizer, made)


def move_flat(
    optimizer: torch.optim.Optimizer, groups: Sequence[ParameterGroup], row: WeightsRow
) -> None:
    """Let a flat optimizer go on in another row, which holds the same numbers."""
    for made, group in zip(optimizer.param_groups, groups, strict=True):
        parts = row.parts(group.names)
        for parameter, (weights, grads) in zip(made["params"], parts, strict=True):
            parameter.data, parameter.grad = weights, grads


def spread_state(
    flat: OptimizerState, groups: Sequence[ParameterGroup], layout: Layout
) -> OptimizerState:
    """The state of a flat optimizer as one over the parameters of these groups, in their order.

    Every tensor of the state is as long as its run of the row, or one number.
    """
    sizes = dict(zip(layout.names, layout.shapes, strict=True))
    spread, number, first = OptimizerState(), 0, 0
    for options, group in zip(flat.param_groups, groups, strict=True):
        places = {name: first + i for i, name in enumerate(group.names)}
        for run in layout.runs(group.names):
            start, whole = 0, flat.state.get(number, {})
            for name in run.names:
                stop = start + sizes[name].numel()
                piece = {
                    key: value[start:stop].view(sizes[name]).clone()
                    if isinstance(value, Tensor) and value.ndim
                    else _copy(value)
                    for key, value in whole.items()
                }
                if piece:
                    spread.state[places[name]] = piece
                start = stop
            number += 1
        first += len(group.names)
        spread.param_groups.append({**options, "params": list(places.values())})
    spread.state = dict(sorted(spread.state.items()))
    return spread


def gather_state(
    spread: OptimizerState, groups: Sequence[ParameterGroup], layout: Layout
) -> OptimizerState | None:
    """The inverse of `spread_state`: the state of a flat optimizer.

    None where the parameters have come apart: some had no gradient in some step.
    """
    flat, number = OptimizerState(), 0
    for options, group in zip(spread.param_groups, groups, strict=True):
        places = dict(zip(group.names, options["params"], strict=True))
        first = number
        for run in layout.runs(group.names):
            pieces = [spread.state.get(places[name], {}) for name in run.names]
            if not all(_alike(piece, pieces[0]) for piece in pieces):
                return None
            if pieces[0]:
                flat.state[number] = {
                    key: torch.cat([torch.as_tensor(piece[key]).flatten() for piece in pieces])
                    if isinstance(value, Tensor) and value.ndim
                    else _copy(value)
                    for key, value in pieces[0].items()
                }
            number += 1
        flat.param_groups.append({**options, "params": list(range(first, number))})
    return flat


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
