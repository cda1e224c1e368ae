"""GroupRule: parameters of a model that are trained otherwise than the rest, and how.

A rule takes parameters by regular expressions on their names (`match`), by what they are (`kind`),
or by both at once. It multiplies the learning rate (`lr_scale`, `layer_decay`) and replaces
arguments of the optimizer. The first rule that takes a parameter has it; what none takes is the
default group.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lrsearch.catalog.fields import FRACTION, POSITIVE, FieldLimit
from lrsearch.catalog.lookup import check_optimizer, optimizer_info
from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Document, Fields, Unchecked

#: What a parameter is: of a normalisation layer, a bias, of an embedding.
KINDS = ("norm", "bias", "embedding")
#: What a recipe says whose groups are those of the task's own grouping function.
OF_TASK = "task"
#: A rule's factors of the recipe's lr, and what they take.
FACTORS: Mapping[str, FieldLimit] = {"lr_scale": POSITIVE, "layer_decay": FRACTION}
#: Fields of optimizers that hold for all groups. Of Muon's, each group has weight decay and
#: momentum: its other arguments are those of one of its two parts.
_WHOLE = (
    "weight_decay_exclude_1d",
    "nesterov",
    "ns_steps",
    "adjust_lr_fn",
    "adamw_lr_factor",
    "adamw_betas",
    "adamw_eps",
)
_ABOUT = ("name", "match", "kind")


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """One rule, checked."""

    #: How reports and the sampler's parameters call it.
    name: str
    #: Regular expressions; one that is found anywhere in a parameter's name is enough.
    match: tuple[str, ...] = ()
    #: Of `KINDS`; one of them is enough. Beside `match` both must hold.
    kind: tuple[str, ...] = ()
    #: Factor of the recipe's lr.
    lr_scale: float = 1.0
    #: Factor of lr for each layer below the deepest; the first group of the expression in `match`
    #: is the layer's number.
    layer_decay: float | None = None
    #: Arguments of the optimizer, in torch's names, in place of the recipe's.
    arguments: Fields = field(default_factory=dict)

    @property
    def scales(self) -> bool:
        """Whether its learning rate may be another than the recipe's."""
        return self.lr_scale != 1 or self.layer_decay is not None

    @property
    def lr_title(self) -> str:
        """What it makes of lr, in words; empty if it leaves it as it is."""
        scale = "" if self.lr_scale == 1 else f"lr x {self.lr_scale:.3g}"
        if self.layer_decay is None:
            return scale
        return f"{scale or 'lr'} x {self.layer_decay:.3g} for each layer below the deepest"

    def title(self) -> str:
        """`backbone: lr x 0.1, weight_decay 0`."""
        arguments = [f"{key} {value}" for key, value in self.arguments.items()]
        return f"{self.name}: " + (", ".join(filter(None, [self.lr_title, *arguments])) or "as set")


def group_fields(optimizer: str) -> dict[str, FieldLimit]:
    """What a rule may set where a recipe has this optimizer."""
    fields = optimizer_info(optimizer, "optimizer.name").fields
    return {**FACTORS, **{key: limit for key, limit in fields.items() if key not in _WHOLE}}


def check_rules(rules: Sequence[Fields], optimizer: Fields, where: str) -> None:
    """Raises SpecError unless each can be built with `optimizer`, as a recipe has both."""
    limits = group_fields(optimizer["name"])
    for place, rule in _placed(rules, where):
        check_selector(rule, place)
        for key, value in rule.items():
            if key in _ABOUT:
                continue
            if key not in limits:
                raise SpecError(unknown_field(key, str(optimizer["name"]), limits, place))
            limits[key].check(value, f"{place}.{key}")
        arguments = {key: value for key, value in rule.items() if key not in (*_ABOUT, *FACTORS)}
        check_optimizer({**optimizer, **arguments}, place)
    check_names(read_rules(rules), where)


def unknown_field(key: str, optimizer: str, known: Mapping[str, FieldLimit], where: str) -> str:
    """Why a rule has no such field."""
    if key == "lr":
        return (
            f"{where}.lr is not a field of a group; write lr_scale, its factor of the recipe's lr"
        )
    if key in _WHOLE:
        return f"{where}.{key} holds for all groups; write it beside the optimizer's lr"
    hint = near_miss(key, [*_ABOUT, *known])
    return f"{where}.{key} is not a field of a group with optimizer {optimizer}{hint}"


def check_selector(rule: Unchecked, where: str) -> None:
    """Raises SpecError unless the rule says which parameters it takes."""
    if not isinstance(rule, Mapping):
        raise SpecError(f"{where} = {rule!r}, but a mapping such as {{match: head}} is needed")
    patterns, kinds = _listed(rule.get("match")), _listed(rule.get("kind"))
    if not patterns and not kinds:
        raise SpecError(f"{where} has neither match nor kind; write e.g. match: backbone")
    for pattern in patterns:
        _check_pattern(pattern, where, layered="layer_decay" in rule)
    for kind in kinds:
        if kind not in KINDS:
            raise SpecError(f"{where}.kind = {kind!r}{near_miss(kind, KINDS)}")
    name = rule.get("name")
    if name is not None and (not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name)):
        raise SpecError(f"{where}.name = {name!r}, but letters, digits, '.', '-' and '_' are taken")
    if "layer_decay" in rule and len(patterns) != 1:
        raise SpecError(rf"{where}.layer_decay needs one match, such as 'layers\.(\d+)\.'")


def _check_pattern(pattern: Unchecked, where: str, *, layered: bool) -> None:
    if not isinstance(pattern, str) or not pattern:
        raise SpecError(
            rf"{where}.match = {pattern!r}, but a regular expression is needed; write '^4\.' for a "
            f"number"
        )
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise SpecError(f"{where}.match = {pattern!r}: {error}") from error
    if layered and not groups:
        raise SpecError(
            f"{where}.match = {pattern!r} tells no layer's number, which layer_decay needs; put it "
            rf"in brackets, as in 'layers\.(\d+)\.'"
        )


def check_names(rules: Sequence[GroupRule], where: str) -> None:
    """Raises SpecError if two rules have one name."""
    seen: set[str] = set()
    for i, rule in enumerate(rules):
        if rule.name in seen:
            raise SpecError(f"{where}[{i}] is called {rule.name!r} like one before it; add a name")
        seen.add(rule.name)


def read_rules(rules: Sequence[Fields]) -> tuple[GroupRule, ...]:
    """Checked rules as values."""
    return tuple(
        GroupRule(
            name=rule_name(rule),
            match=tuple(map(str, _listed(rule.get("match")))),
            kind=tuple(map(str, _listed(rule.get("kind")))),
            lr_scale=rule.get("lr_scale", 1.0),
            layer_decay=rule.get("layer_decay"),
            arguments={k: v for k, v in rule.items() if k not in (*_ABOUT, *FACTORS)},
        )
        for rule in rules
    )


def rule_name(rule: Fields) -> str:
    r"""The rule's own name, or one made of what it takes: `layers\.(\d+)\.` gives `layers`."""
    if rule.get("name"):
        return str(rule["name"])
    given = [*_listed(rule.get("match")), *_listed(rule.get("kind"))]
    words = [re.sub(r"\\[A-Za-z]", "", str(word)) for word in given]
    return re.sub(r"[\W_]+", "_", "_".join(words)).strip("_") or "group"


def short_rule(match: str, written: Unchecked) -> Unchecked:
    """The rule of `{backbone: 0.1}`, a factor of lr, or of `{backbone: {weight_decay: 0, ...}}`."""
    if not isinstance(written, Mapping):
        return {"match": match, "lr_scale": written}
    return written if "match" in written or "kind" in written else {"match": match, **written}


def _listed(value: Unchecked) -> list[Unchecked]:
    """One value as a list of it, none as an empty one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _placed(rules: Sequence[Fields], where: str) -> Iterator[tuple[str, Fields]]:
    for i, rule in enumerate(rules):
        yield f"{where}[{i}]", rule


#: A recipe's groups: rules, the task's own function, or None: all parameters are one group.
RecipeGroups = tuple[Document, ...] | Literal["task"] | None
