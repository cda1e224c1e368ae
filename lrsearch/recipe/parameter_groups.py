"""Which parameters of a model are one group of its optimizer, and what holds for each group."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from lrsearch.catalog.fields import FieldLimit
from lrsearch.catalog.groups import GroupRule, group_fields, read_rules, unknown_field
from lrsearch.errors import LrsearchError, SpecError, TaskError, describe, near_miss
from lrsearch.plain_data import Document, Fields

#: A task's own grouping: the model to groups as torch takes them, with `lr_scale` in place of `lr`.
GroupFunction = Callable[[nn.Module], Sequence[Fields]]
#: Rules as in a recipe, or a task's function; None: one group.
Groups = Sequence[Fields] | GroupFunction | None


@dataclass(frozen=True)
class ListedGroups:
    """Groups that are there already, as a task's function would return them."""

    groups: Sequence[Fields]
    #: What errors call them.
    title: str

    def __call__(self, model: nn.Module) -> Sequence[Fields]:
        return self.groups


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters for which the same arguments hold."""

    #: Of the trained parameters, as the model names them and in its order.
    names: tuple[str, ...]
    #: Factor of the recipe's lr; None where nothing scales it.
    lr_scale: float | None = None
    #: Arguments of the optimizer in place of the recipe's.
    arguments: Fields = field(default_factory=dict)

    def torch_group(self, parameters: Sequence[torch.Tensor], lr: float) -> Document:
        """The group as torch takes it. Its lr is the recipe's, `lr`, times `lr_scale`."""
        arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in self.arguments.items()}
        group = {"params": list(parameters), **arguments}
        if self.lr_scale is None:
            return group
        return {**group, "lr": lr * self.lr_scale, "lr_scale": self.lr_scale}


def recipe_lr(optimizer: torch.optim.Optimizer) -> float:
    """The recipe's own learning rate now: that of the default group, which groups are scaled by."""
    first = optimizer.param_groups[0]
    return float(first["lr"]) / float(first.get("lr_scale", 1.0))


def parameter_groups(
    optimizer: Fields, model: nn.Module, groups: Groups = None
) -> list[ParameterGroup]:
    """The groups of a checked optimizer mapping, the default one first; none is empty.

    With `weight_decay_exclude_1d` each is split: its parameters of fewer than two dimensions have
    no weight decay. Raises TaskError for a model without trained parameters, a rule that takes
    none, and a function that leaves one out or names one twice.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise TaskError("the model has no parameter to train")
    if groups is None:
        found = [ParameterGroup(names=tuple(trained))]
    elif callable(groups):
        found = _by_function(groups, model, str(optimizer["name"]))
    else:
        found = _by_rules(read_rules(groups), model)
    if not optimizer.get("weight_decay_exclude_1d"):
        return found
    return [half for group in found for half in _halves(group, trained)]


def _halves(group: ParameterGroup, trained: Mapping[str, nn.Parameter]) -> Iterator[ParameterGroup]:
    """Its matrices, then its vectors without weight decay, as far as there are any."""
    matrices = tuple(name for name in group.names if trained[name].ndim > 1)
    vectors = tuple(name for name in group.names if trained[name].ndim <= 1)
    if matrices:
        yield replace(group, names=matrices)
    if vectors:
        yield replace(group, names=vectors, arguments={**group.arguments, "weight_decay": 0.0})


def _by_rules(rules: Sequence[GroupRule], model: nn.Module) -> list[ParameterGroup]:
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    kinds = kinds_of(model)
    left, groups = list(trained), list[ParameterGroup]()
    for i, rule in enumerate(rules):
        taken = [name for name in left if _takes(rule, name, kinds)]
        if not taken:
            raise TaskError(_nothing_taken(i, rule, model, kinds))
        left = [name for name in left if name not in taken]
        groups += _scaled(rule, taken, model)
    rest = [ParameterGroup(names=tuple(left))] if left else []
    return rest + groups


def _takes(rule: GroupRule, name: str, kinds: Mapping[str, set[str]]) -> bool:
    matches = not rule.match or any(re.search(pattern, name) for pattern in rule.match)
    return matches and (not rule.kind or not kinds[name].isdisjoint(rule.kind))


def _scaled(rule: GroupRule, names: Sequence[str], model: nn.Module) -> Iterator[ParameterGroup]:
    """One group, or with `layer_decay` one for each layer, the deepest first."""
    if rule.layer_decay is None:
        scale = rule.lr_scale if rule.scales else None
        yield ParameterGroup(names=tuple(names), lr_scale=scale, arguments=rule.arguments)
        return
    # The model's depth, whatever is frozen or taken by rules before.
    layers = {
        name: _layer(rule, name)
        for name, _ in model.named_parameters()
        if re.search(rule.match[0], name)
    }
    deepest = max(layers.values())
    for layer in sorted({layers[name] for name in names}, reverse=True):
        yield ParameterGroup(
            names=tuple(name for name in names if layers[name] == layer),
            lr_scale=rule.lr_scale * rule.layer_decay ** (deepest - layer),
            arguments=rule.arguments,
        )


def _layer(rule: GroupRule, name: str) -> int:
    """The layer's number, which is the first group of the expression."""
    found = re.search(rule.match[0], name)
    number = found[1] if found else None
    if number is None or not number.isdecimal():
        raise TaskError(
            f"groups: {rule.name} has layer_decay, but its match takes {number!r} as the layer's "
            rf"number of {name}; put brackets around the digits, as in 'layers\.(\d+)\.'"
        )
    return int(number)


def _nothing_taken(i: int, rule: GroupRule, model: nn.Module, kinds: Mapping[str, set[str]]) -> str:
    """Why a rule takes no parameter, in one line."""
    what = " and ".join(
        f"{field} {'|'.join(values)!r}"
        for field, values in (("match", rule.match), ("kind", rule.kind))
        if values
    )
    names = [name for name, _ in model.named_parameters()]
    found = [name for name in names if _takes(rule, name, kinds)]
    trained = [name for name in found if model.get_parameter(name).requires_grad]
    start = f"groups[{i}], {what}, takes no parameter of the model"
    if trained:
        return f"{start}: rules before it have {trained[0]}; put it before them"
    if found:
        return f"{start} that is trained: {found[0]} has requires_grad False; leave the rule out"
    if rule.kind and not rule.match:
        return f"{start}; leave the rule out, or take the parameters by match"
    return start + near_miss(rule.match[0], _prefixes(names)[:20])


def _prefixes(names: Sequence[str]) -> list[str]:
    """The model's parts and parameters, the outer parts first."""
    parts = [name.split(".") for name in names]
    found = {".".join(each[:depth]): depth for each in parts for depth in range(1, len(each) + 1)}
    return sorted(found, key=lambda name: found[name])


def kinds_of(model: nn.Module) -> dict[str, set[str]]:
    """What each parameter is, by its name; a tied one is all that it is in any of its places.

    Classes of other packages are known by their names, such as LlamaRMSNorm and BertEmbeddings.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    kinds: dict[str, set[str]] = {name: set() for name in names.values()}
    for module in model.modules():
        title = type(module).__name__.lower()
        for own, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in names:  # it is not among those given
                continue
            kind = kinds[names[id(parameter)]]
            if "norm" in title:
                kind.add("norm")
            if "bias" in own:  # nn.LSTM has bias_ih_l0
                kind.add("bias")
            if "embedding" in title or "embed" in own:
                kind.add("embedding")
    return kinds


def _by_function(function: GroupFunction, model: nn.Module, optimizer: str) -> list[ParameterGroup]:
    title = function.title if isinstance(function, ListedGroups) else "the task's groups()"
    try:
        given = list(function(model))
    except LrsearchError:
        raise
    except Exception as error:
        raise TaskError(f"{title} raised {describe(error)}") from error
    names = {id(p): name for name, p in model.named_parameters()}
    limits, seen, groups = group_fields(optimizer), set[str](), []
    for i, group in enumerate(given):
        place = f"{title}[{i}]"
        if not isinstance(group, Mapping) or "params" not in group:
            raise TaskError(f"{place} is no mapping with `params`, as torch's optimizers take it")
        members = list(_members(group["params"], names, place))
        for name in members:
            if name in seen:
                raise TaskError(f"{place} has {name} a second time; leave it out of one group")
            seen.add(name)
        trained = [name for name in members if model.get_parameter(name).requires_grad]
        if trained:
            groups.append(_of_function(group, trained, optimizer, limits, place))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in seen:
            raise TaskError(
                f"{title} leaves {name} out, which is trained; put it into a group, or "
                f"freeze it in model() with requires_grad_(False)"
            )
    return groups


def _members(parameters: object, names: Mapping[int, str], place: str) -> Iterator[str]:
    given = [parameters] if isinstance(parameters, torch.Tensor) else parameters
    if not hasattr(given, "__iter__"):
        raise TaskError(f"{place}.params is {type(given).__name__}, but parameters are needed")
    for parameter in given:
        if isinstance(parameter, tuple):  # from named_parameters(), as torch takes it too
            parameter = parameter[-1]
        if id(parameter) not in names:
            raise TaskError(
                f"{place}.params has {type(parameter).__name__} that is no parameter of the model"
            )
        yield names[id(parameter)]


def _of_function(
    group: Fields,
    names: Sequence[str],
    optimizer: str,
    limits: Mapping[str, FieldLimit],
    place: str,
) -> ParameterGroup:
    own = {key: value for key, value in group.items() if key not in ("params", "name")}
    for key, value in own.items():
        if key not in limits or key == "layer_decay":
            raise TaskError(unknown_field(key, optimizer, limits, place))
        try:
            limits[key].check(value, f"{place}.{key}")
        except SpecError as error:
            raise TaskError(str(error)) from error
    scale = own.pop("lr_scale", 1.0)
    return ParameterGroup(names=tuple(names), lr_scale=scale, arguments=own)
