"""The numbers of recipes that a study searches, and what each recipe has of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lrsearch.catalog.compatibility import takes_warmup
from lrsearch.catalog.domains import Choice, Domain, Range
from lrsearch.catalog.lookup import optimizer_info, schedule_info
from lrsearch.plain_data import Fields, Unchecked
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.search_space import SearchSpace
from lrsearch.user_input import is_number

#: Choices that span this factor are told apart by their logarithms.
LOG_FACTOR = 10.0
#: `complement` is the logarithm of 1 - value, as decay rates are sampled.
Scale = Literal["linear", "log", "complement"]
#: Which part of a recipe has a field.
Part = Literal["optimizer", "schedule", "recipe", "params", "groups"]
#: `betas` of a recipe are two fields of a space.
HALVES = {"beta1": 0, "beta2": 1}


@dataclass(frozen=True, kw_only=True)
class Field:
    """A number that is searched; one for all optimizers that have it, or all schedules."""

    part: Part
    #: As the space calls it: `lr`, `beta1`; with the group before it: `backbone.lr_scale`.
    key: str
    scale: Scale

    def of(self, recipe: Recipe) -> float | None:
        """The recipe's, in torch's units; None where it has no such field.

        What a recipe leaves to torch is what torch takes.
        """
        value = self._read(recipe)
        return float(value) if is_number(value) else None

    def _read(self, recipe: Recipe) -> Unchecked:
        match self.part:
            case "optimizer":
                return _of_optimizer(recipe, self.key)
            case "schedule":
                return {**_schedule_defaults(recipe), **recipe.schedule}.get(self.key)
            case "params":
                return recipe.params.get(self.key)
            case "groups":
                return _of_groups(recipe).get(self.key)
        if not takes_warmup(recipe.optimizer_name, recipe.schedule_name):
            return None
        return recipe.warmup if self.key == "warmup" else recipe.warmup_steps


def _of_optimizer(recipe: Recipe, key: str) -> Unchecked:
    info = optimizer_info(recipe.optimizer_name, "optimizer")
    betas = recipe.optimizer.get("betas") or info.default("betas")
    if key in HALVES and "betas" in info.fields:
        return float(betas[HALVES[key]])
    return info.taken(recipe.optimizer, key) if key in info.searchable() else None


def _schedule_defaults(recipe: Recipe) -> Fields:
    return schedule_info(recipe.schedule_name, "schedule").defaults


def _of_groups(recipe: Recipe) -> Fields:
    """As a space calls them: `backbone.lr_scale`."""
    return {
        f"{rule.name}.{key}": value
        for rule in recipe.group_rules
        for key, value in (
            ("lr_scale", rule.lr_scale),
            ("layer_decay", rule.layer_decay),
            *rule.arguments.items(),
        )
    }


def searched_fields(space: SearchSpace) -> tuple[Field, ...]:
    """In the order of a recipe; those that are fixed or words are left out."""
    found: dict[tuple[Part, str], Field] = {}
    for part, key, domain in _domains(space):
        scale = _scale(domain)
        if scale is not None:
            known = found.get((part, key))
            if known is None or known.scale == "linear":
                found[part, key] = Field(part=part, key=key, scale=scale)
    return tuple(found.values())


def _domains(space: SearchSpace) -> Iterator[tuple[Part, str, Domain]]:
    yield from _of("optimizer", space.optimizers)
    yield from _of("schedule", space.schedules)
    name, domain = space.warm_up
    yield "recipe", name, domain
    yield from _of("params", {"": space.params})
    if isinstance(space.groups, tuple):
        for group in space.groups:
            for key, domain in group.fields.items():
                yield "groups", f"{group.name}.{key}", domain


def _of(
    part: Part, owners: Mapping[str, Mapping[str, Domain]]
) -> Iterator[tuple[Part, str, Domain]]:
    for fields in owners.values():
        for key, domain in fields.items():
            yield part, key, domain


def _scale(domain: Domain) -> Scale | None:
    """How its values are told apart; None of what is no number, or only one."""
    if isinstance(domain, Range):
        if domain.low == domain.high:
            return None
        if domain.unit == "complement":
            return "complement"
        return "log" if domain.log else "linear"
    if not isinstance(domain, Choice) or len(domain.choices) < 2:
        return None
    numbers = [float(choice) for choice in domain.choices if is_number(choice)]
    if len(numbers) < len(domain.choices):
        return None
    low, high = min(numbers), max(numbers)
    return "log" if low > 0 and high >= LOG_FACTOR * low else "linear"
