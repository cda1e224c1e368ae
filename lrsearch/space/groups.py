"""Parameter groups of a space: a recipe's rules, whose numbers may be searched.

The sampler's parameters are called `groups.NAME.FIELD`, such as `groups.backbone.lr_scale`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from lrsearch.catalog.domains import Domain, Fixed, Range, Value, first_value, parse, read_stored
from lrsearch.catalog.groups import (
    OF_TASK,
    check_selector,
    group_fields,
    rule_name,
    short_rule,
    unknown_field,
)
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.space.sampling_units import Suggester, suggest

#: What says which parameters a rule takes, and what it is called.
_ABOUT = ("name", "match", "kind")
_RANGE = {"low", "high", "log", "step", "choices"}


@dataclass(frozen=True, kw_only=True)
class SpaceGroup:
    """One rule of a space."""

    #: As a recipe has it: match, kind, name.
    about: Fields
    #: What it sets, as a recipe calls it: `lr_scale`, `weight_decay`, ...
    fields: Mapping[str, Domain] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return rule_name(self.about)

    def parameter(self, key: str) -> str:
        """What the sampler calls a field."""
        return f"groups.{self.name}.{key}"

    def rule(self, value_of: Callable[[str, Domain], Value]) -> Document:
        """The rule of a recipe; `value_of` takes the sampler's name of a field, and its domain."""
        values = {key: value_of(self.parameter(key), d) for key, d in self.fields.items()}
        plain = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
        return {**self.about, **plain}


#: None: the space has no groups; `task`: those of the task's own function.
SpaceGroups = tuple[SpaceGroup, ...] | Literal["task"] | None


def parse_groups(content: Unchecked, optimizers: Iterable[str], where: str) -> SpaceGroups:
    """Groups as a study file has them, for each of these optimizers. Raises SpecError."""
    if content is None or content == OF_TASK:
        return content  # type: ignore[return-value]
    if isinstance(content, Mapping):
        rules = [(f"{where}.{key}", _short(key, value)) for key, value in content.items()]
    elif isinstance(content, list | tuple):
        rules = [(f"{where}[{i}]", rule) for i, rule in enumerate(content)]
    else:
        raise SpecError(
            f"{where} = {content!r}, but rules such as {{backbone: 0.1}} or "
            f"[{{match: backbone, lr_scale: 0.1}}] are accepted"
        )
    groups = tuple(_group(rule, list(optimizers), place) for place, rule in rules)
    names = [group.name for group in groups]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise SpecError(f"{where}: two rules are called {name!r}; give one of them a name")
    return groups


def _short(match: str, written: Unchecked) -> Unchecked:
    """A rule by its expression; `{low, high}` and a list are what lr_scale may be."""
    if isinstance(written, Mapping) and written and set(written) <= _RANGE:
        return {"match": match, "lr_scale": written}
    return short_rule(match, written)


def _group(rule: Unchecked, optimizers: list[str], where: str) -> SpaceGroup:
    check_selector(rule, where)
    assert isinstance(rule, Mapping)  # it was checked
    fields = {
        key: _domain(key, value, optimizers, f"{where}.{key}", where)
        for key, value in rule.items()
        if key not in _ABOUT
    }
    about = {key: rule[key] for key in _ABOUT if key in rule}
    return SpaceGroup(about=about, fields=fields)


def _domain(key: str, value: Unchecked, optimizers: list[str], place: str, where: str) -> Domain:
    domain: Domain = Fixed(value=None)
    for optimizer in optimizers:
        limits = group_fields(optimizer)
        if key not in limits:
            raise SpecError(unknown_field(key, optimizer, limits, where))
        limit = limits[key]
        domain = parse(value, place, is_list=limit.listed)
        if isinstance(domain, Range):
            limit.check(domain.low, f"{place}.low")
            limit.check(domain.high, f"{place}.high")
            domain = domain if getattr(limit, "integer", False) else replace(domain, integer=False)
            continue
        for each in [domain.value] if isinstance(domain, Fixed) else domain.choices:
            limit.check(each, place)
    return domain


def suggest_groups(groups: SpaceGroups, trial: Suggester) -> Document:
    """The field `groups` of a recipe; nothing where the space has none."""
    if isinstance(groups, tuple):
        return {"groups": [group.rule(lambda name, d: suggest(trial, name, d)) for group in groups]}
    return {} if groups is None else {"groups": groups}


def fixed_groups(groups: SpaceGroups) -> Unchecked:
    """What recipes have that say nothing of groups: the rules, without what is searched."""
    if not isinstance(groups, tuple):
        return groups
    return [
        replace(group, fields=_fixed(group.fields)).rule(lambda _, d: first_value(d))
        for group in groups
    ]


def _fixed(fields: Mapping[str, Domain]) -> dict[str, Domain]:
    return {key: domain for key, domain in fields.items() if isinstance(domain, Fixed)}


def middle_groups(groups: SpaceGroups) -> Document:
    """The field `groups` of a recipe with searched numbers in the middle of their ranges."""
    if isinstance(groups, tuple):
        return {"groups": [group.rule(lambda _, domain: _middle(domain)) for group in groups]}
    return {} if groups is None else {"groups": groups}


def _middle(domain: Domain) -> Value:
    if not isinstance(domain, Range) or domain.integer or domain.step is not None:
        return first_value(domain)
    low, high = domain.low, domain.high
    return math.sqrt(low * high) if domain.log else (low + high) / 2


def group_values(groups: SpaceGroups, recipe: Fields) -> "list[tuple[str, Domain, Value]] | None":
    """Each field's parameter, domain and value in the recipe; None if its rules are others."""
    given = recipe.get("groups")
    if not isinstance(groups, tuple):
        return [] if (given or None) == groups else None
    rules = given or [group.about for group in groups]
    if isinstance(rules, str) or len(rules) != len(groups):
        return None
    found: list[tuple[str, Domain, Value]] = []
    for group, rule in zip(groups, rules, strict=True):
        about = {key: value for key, value in rule.items() if key in _ABOUT}
        others = rule.keys() - about.keys() - group.fields.keys()
        if about != dict(group.about) or others:
            return None
        found += _values(group, rule, recipe)
    return found


def _values(group: SpaceGroup, rule: Fields, recipe: Fields) -> Iterator[tuple[str, Domain, Value]]:
    optimizer = recipe["optimizer"]
    info = optimizer_info(optimizer["name"], "optimizer")
    for key, domain in group.fields.items():
        own = 1.0 if key in ("lr_scale", "layer_decay") else info.taken(optimizer, key)
        yield group.parameter(key), domain, rule.get(key, own)


def plain_groups(groups: SpaceGroups) -> Unchecked:
    """Plain JSON values; `read_groups` gives equal groups."""
    if not isinstance(groups, tuple):
        return groups
    return [
        {"about": dict(group.about), "fields": {k: asdict(d) for k, d in group.fields.items()}}
        for group in groups
    ]


def read_groups(content: Unchecked) -> SpaceGroups:
    """Raises SpecError for what `plain_groups` never gave."""
    if content is None or content == OF_TASK:
        return content  # type: ignore[return-value]
    if not isinstance(content, list | tuple):
        raise SpecError(f"space.groups = {content!r} is none of a study")
    groups = []
    for i, group in enumerate(content):
        place = f"space.groups[{i}]"
        if not isinstance(group, Mapping) or set(group) != {"about", "fields"}:
            raise SpecError(f"{place} is no group of a space")
        about, fields = group["about"], group["fields"]
        check_selector(about, place)
        if not isinstance(about, Mapping) or not isinstance(fields, Mapping):
            raise SpecError(f"{place} is no group of a space")
        domains = {key: read_stored(domain, f"{place}.{key}") for key, domain in fields.items()}
        groups.append(SpaceGroup(about=dict(about), fields=domains))
    return tuple(groups)
