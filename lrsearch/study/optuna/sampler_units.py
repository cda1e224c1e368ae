"""Parameters in torch's units, as Optuna's tables hold them, and in those of the sampler.

Whoever opens a study with Optuna reads `sgd.lr` and `sgd.momentum` as torch takes them. The sampler
works with another unit of some (see `space.sampling_units`): for each of these the trial keeps, in
a system attribute, the number that was drawn and from which range. So the sampler reads the very
numbers that it drew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import FrozenTrial

from lrsearch.catalog.domains import Domain, Range
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.plain_data import Fields
from lrsearch.space.sampling_units import equivalence, in_torchs_units, parameter_name
from lrsearch.space.search_space import SearchSpace, samples_of_step
from lrsearch.storage.rows import read_json
from lrsearch.study.optuna.attributes import UNIT
from lrsearch.user_input import is_number


@dataclass(frozen=True, kw_only=True)
class SamplerUnit:
    """What the sampler takes a stored parameter for."""

    #: The sampler's name: `sgd.1-momentum` for `sgd.momentum`.
    name: str
    number: float
    distribution: BaseDistribution

    def to_json(self) -> dict[str, str | float]:
        """As the trial's system attribute holds it."""
        text = distribution_to_json(self.distribution)
        return {"name": self.name, "number": self.number, "distribution": text}

    @classmethod
    def from_json(cls, found: object) -> "SamplerUnit | None":
        """None for what `to_json` never gave."""
        if not isinstance(found, dict):
            return None
        name, number, text = (found.get(key) for key in ("name", "number", "distribution"))
        if not isinstance(name, str) or not isinstance(number, float) or not isinstance(text, str):
            return None
        known = distribution_of(text)
        return None if known is None else cls(name=name, number=number, distribution=known)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A recipe as Optuna's parameters, in torch's units; none for one outside the space."""

    params: Mapping[str, object]
    distributions: Mapping[str, BaseDistribution]
    #: By the stored name, where the sampler's unit is another one.
    units: Mapping[str, SamplerUnit] = field(default_factory=dict)

    def attributes(self) -> dict[str, dict[str, str | float]]:
        """The system attributes that keep the sampler's units."""
        return {f"{UNIT}{name}": unit.to_json() for name, unit in self.units.items()}


OUTSIDE = Encoding(params={}, distributions={})


@lru_cache(maxsize=4096)
def distribution_of(text: str) -> BaseDistribution | None:
    """Optuna's JSON of a distribution as a value that nothing changes; None if it is no such."""
    try:
        return json_to_distribution(text)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def stored(
    space: SearchSpace,
    recipe: Fields,
    params: Mapping[str, object],
    distributions: Mapping[str, BaseDistribution],
) -> Encoding:
    """What Optuna keeps of a recipe, whose parameters in the sampler's units these are."""
    known = _fields_by_parameter(space, recipe)
    content: dict[str, object] = {}
    ranges: dict[str, BaseDistribution] = {}
    units: dict[str, SamplerUnit] = {}
    for name, distribution in distributions.items():
        if name not in known or not isinstance(distribution, FloatDistribution):
            content[name], ranges[name] = params[name], distribution
            continue
        torchs, drawn = known[name], params[name]
        assert isinstance(drawn, float)
        units[torchs.name] = SamplerUnit(name=name, number=drawn, distribution=distribution)
        content[torchs.name] = torchs.value
        ranges[torchs.name] = _around(torchs, distribution)
    return Encoding(params=content, distributions=ranges, units=units)


@dataclass(frozen=True, kw_only=True)
class _TorchField:
    """A field of a recipe whose sampler's unit is not torch's."""

    name: str
    value: float
    domain: Range
    #: The recipe's `equivalence`.
    scale: float


def _fields_by_parameter(space: SearchSpace, recipe: Fields) -> dict[str, _TorchField]:
    """By the sampler's name, the fields of the recipe that it knows in another unit."""
    optimizer, schedule = recipe["optimizer"], recipe["schedule"]
    name = optimizer["name"]
    info = optimizer_info(name, "optimizer")
    betas = dict(zip(("beta1", "beta2"), optimizer.get("betas", ()), strict=False))
    momentum = optimizer.get("momentum", info.default("momentum"))
    scale = equivalence(momentum or 0.0, samples_of_step(recipe, None))
    found: dict[str, _TorchField] = {}

    def add(owner: str, domains: Mapping[str, Domain], values: Fields) -> None:
        for key, domain in domains.items():
            if isinstance(domain, Range) and domain.unit != "plain" and is_number(values.get(key)):
                torchs = f"{owner}.{key}"
                found[parameter_name(torchs, domain)] = _TorchField(
                    name=torchs, value=float(values[key]), domain=domain, scale=scale
                )

    defaults = {key: info.default(key) for key in space.optimizers.get(name, {})}
    add(name, space.optimizers.get(name, {}), {**defaults, **optimizer, **betas})
    add(schedule["name"], space.schedules.get(schedule["name"], {}), schedule)
    return found


def _around(torchs: _TorchField, drawn_from: FloatDistribution) -> FloatDistribution:
    """The range in torch's units; rounding may leave it by an ulp, and the value is in it."""
    low, high = in_torchs_units(torchs.domain, drawn_from.low, drawn_from.high, torchs.scale)
    log = drawn_from.log and torchs.domain.unit != "complement"
    return FloatDistribution(min(low, torchs.value), max(high, torchs.value), log=log)


def unit_of(text: str | None) -> SamplerUnit | None:
    """A stored system attribute as a value; None where there is none, or it is no such."""
    return None if text is None else SamplerUnit.from_json(read_json(text))


def units_of(trial: FrozenTrial) -> dict[str, SamplerUnit]:
    """The sampler's units of a trial, by the stored name."""
    found: dict[str, SamplerUnit] = {}
    for key, value in trial.system_attrs.items():
        unit = SamplerUnit.from_json(value) if key.startswith(UNIT) else None
        if unit is not None:
            found[key.removeprefix(UNIT)] = unit
    return found
