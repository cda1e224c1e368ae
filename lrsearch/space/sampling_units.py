"""Sampling one field: its domain, in torch's units, against the unit that a sampler works in.

A `1-momentum` or `1-beta1` is sampled instead of the decay rate itself, log-uniformly (Wang et al.
2021; Dahl et al. 2023), and `sgd.lr` as lr * 0.1 / (1 - momentum) * 64 / batch size, in samples of
an optimizer step: its best value then hardly depends on the momentum beside it, nor on the batch
size (linear rule: Goyal et al. 2017).
"""

import json
import math
from collections.abc import Sequence
from typing import Any, Protocol

from lrsearch.catalog.domains import Choice, Domain, Fixed, Range, Value
from lrsearch.trial.rounding import EPSILON

#: Where momentum-equivalent lr equals lr.
REFERENCE_MOMENTUM = 0.9
REFERENCE_BATCH = 64


class Suggester(Protocol):
    """What a space needs of an Optuna trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


def _scalar(value: Value) -> Any:
    """A choice in the types that Optuna takes: a list becomes its JSON text."""
    return json.dumps(value) if isinstance(value, tuple) else value


def parameter_name(name: str, domain: Domain) -> str:
    """What the sampler calls the field, by the unit it samples."""
    if isinstance(domain, Range) and domain.unit == "complement":
        owner, _, key = name.rpartition(".")
        return f"{owner}.1-{key}"
    return name


def equivalence(momentum: float, batch_size: int | None) -> float:
    """Momentum-equivalent lr as a multiple of lr; `batch_size` in samples of an optimizer step."""
    batch = REFERENCE_BATCH / (batch_size or REFERENCE_BATCH)
    return (1 - REFERENCE_MOMENTUM) / (1 - momentum) * batch


def _bounds(domain: Range, scale: float) -> tuple[float, float]:
    """Low and high in the sampling unit."""
    if domain.unit == "plain" or domain.in_unit:
        return domain.low, domain.high
    if domain.unit == "complement":
        return 1 - domain.high, 1 - domain.low
    return domain.low * scale, domain.high * scale


def in_torchs_units(
    domain: Range, low: float, high: float, scale: float = 1.0
) -> tuple[float, float]:
    """Bounds in the sampling unit as bounds in torch's; `scale` is the recipe's `equivalence`."""
    if domain.unit == "complement":
        return 1 - high, 1 - low
    if domain.unit == "momentum_equivalent":
        return low / scale, high / scale
    return low, high


def _to_unit(domain: Range, value: float, scale: float) -> float:
    if domain.unit == "complement":
        return 1 - value
    if domain.unit == "momentum_equivalent":
        return value * scale
    return value


def encode(domain: Domain, value: Any, scale: float = 1.0) -> Any:
    """`value`, in torch's units, in the sampling unit; one that the domain contains.

    `scale` is the `equivalence` of the recipe, and concerns momentum-equivalent ranges only.
    """
    if isinstance(domain, Range):
        low, high = _bounds(domain, scale)
        return min(max(_to_unit(domain, value, scale), low), high)
    assert isinstance(domain, Choice)
    plain = tuple(value) if isinstance(value, list) else value
    return _scalar(domain.choices[domain.choices.index(plain)])  # 0 and 0.0 are one choice


def _decode(domain: Range, sampled: float, scale: float) -> float:
    if domain.unit == "complement":
        value = 1 - sampled
    elif domain.unit == "momentum_equivalent":
        value = sampled / scale
    else:
        return sampled
    if domain.in_unit:
        return value
    return min(max(value, domain.low), domain.high)  # rounding may leave the range by one ulp


def suggest(trial: Suggester, name: str, domain: Domain, scale: float = 1.0) -> Any:
    """Ask `trial` for a value of the domain, in torch's units; fixed ones are not asked for."""
    name = parameter_name(name, domain)
    if isinstance(domain, Fixed):
        return list(domain.value) if isinstance(domain.value, tuple) else domain.value
    if isinstance(domain, Choice):
        scalars = [_scalar(choice) for choice in domain.choices]
        choice = domain.choices[scalars.index(trial.suggest_categorical(name, scalars))]
        return list(choice) if isinstance(choice, tuple) else choice
    if domain.integer:
        first, last, step = int(domain.low), int(domain.high), int(domain.step or 1)
        return trial.suggest_int(name, first, last, step=step, log=domain.log)
    low, high = _bounds(domain, scale)
    sampled = trial.suggest_float(name, low, high, step=domain.step, log=domain.log)
    return _decode(domain, sampled, scale)


def contains(domain: Domain, value: Any, scale: float = 1.0) -> bool:
    """Whether the domain could give `value`, in torch's units."""
    if isinstance(domain, Fixed | Choice):
        choices = [domain.value] if isinstance(domain, Fixed) else domain.choices
        return (tuple(value) if isinstance(value, list) else value) in choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if domain.step is not None or domain.integer:
        steps = (value - domain.low) / (domain.step or 1)
        if not math.isclose(steps, round(steps), rel_tol=EPSILON, abs_tol=EPSILON):
            return False
    low, high = _bounds(domain, scale)
    sampled = _to_unit(domain, value, scale)
    return bool(low - EPSILON * abs(low) <= sampled <= high + EPSILON * abs(high))
