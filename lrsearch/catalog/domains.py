"""What a field of a search space may be: one value, some choices, or a range."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Fields, Unchecked
from lrsearch.user_input import as_number, is_number

#: A value as it stands in a recipe: a number, word, flag, or a list of numbers (betas, milestones).
Value = float | int | str | bool | None | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Fixed:
    value: Value


@dataclass(frozen=True, kw_only=True)
class Choice:
    choices: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    low: float
    high: float
    log: bool = False
    #: Distance between neighbouring values; None is continuous (or 1 for an integer range).
    step: float | None = None
    integer: bool = False
    #: The unit that the sampler works in. `complement` samples 1 - value; `momentum_equivalent`
    #: samples lr * 0.1 / (1 - momentum), the lr with the same step size at momentum 0.9.
    unit: Literal["plain", "complement", "momentum_equivalent"] = "plain"
    #: True when low and high are themselves in the sampling unit (presets), False when they are
    #: in torch's units (whatever a user writes).
    in_unit: bool = False


Domain = Fixed | Choice | Range


def largest(domain: Domain) -> float:
    """The largest number of a domain of numbers; nothing counts as 0."""
    if isinstance(domain, Range):
        return domain.high
    values = (domain.value,) if isinstance(domain, Fixed) else domain.choices
    return max(float(value or 0) for value in values)  # type: ignore[arg-type]


def first_value(domain: Domain) -> Value:
    """Some value of the domain: what is trained where any will do."""
    if isinstance(domain, Fixed):
        return domain.value
    if isinstance(domain, Range):
        return int(domain.low) if domain.integer else domain.low
    return domain.choices[0]


def _scalar(value: Unchecked, where: str) -> Value:
    value = as_number(value)
    if isinstance(value, list | tuple):
        numbers = tuple(as_number(item) for item in value)
        if not numbers or not all(is_number(item) for item in numbers):
            raise SpecError(f"{where} = {value!r}, but a list here holds numbers")
        return numbers  # type: ignore[return-value]
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"{where} = {value!r}, but it must be finite")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise SpecError(f"{where} = {value!r}, but a number, word, flag or list of numbers is accepted")


def parse(value: Unchecked, where: str, *, is_list: bool = False) -> Domain:
    """Read what a user wrote at `where`: a scalar is fixed, a list is choices, a mapping a range.

    `is_list` marks fields whose single value is itself a list (betas, milestones): there a list
    of numbers is one value and a list of lists is choices. Raises SpecError.
    """
    if isinstance(value, Mapping):
        return _parse_mapping(value, where, is_list=is_list)
    if not isinstance(value, list | tuple):
        scalar = _scalar(value, where)
        if is_list:
            raise SpecError(f"{where} = {value!r}, but a list of numbers is needed")
        return Fixed(value=scalar)
    if is_list and not any(isinstance(item, list | tuple) for item in value):
        return Fixed(value=_scalar(list(value), where))
    return _choices(value, where)


def _choices(items: Sequence[Unchecked], where: str) -> Choice:
    choices = tuple(_scalar(item, f"{where}[{i}]") for i, item in enumerate(items))
    if not choices:
        raise SpecError(f"{where} is an empty list; give at least one choice")
    if len({repr(choice) for choice in choices}) < len(choices):
        raise SpecError(f"{where} = {list(items)!r} names a choice twice")
    return Choice(choices=choices)


def _parse_mapping(value: Mapping[str, Unchecked], where: str, *, is_list: bool) -> Domain:
    choices = value.get("choices")
    if set(value) == {"choices"} and isinstance(choices, list):
        return _choices(choices, where)
    for key in value:
        if key not in ("low", "high", "log", "step"):
            hint = near_miss(key, ("low", "high", "log", "step", "choices"))
            raise SpecError(f"{where}.{key} is not a field of a range{hint}")
    if is_list:
        raise SpecError(f"{where} is a list of numbers; a range cannot stand here, choices can")
    low, high = (_end(value, key, where) for key in ("low", "high"))
    return _range(low, high, value.get("log", False), value.get("step"), where)


def _end(value: Mapping[str, Unchecked], key: str, where: str) -> float:
    if key not in value:
        raise SpecError(f"{where} has no `{key}`; a range is {{low, high, log, step}}")
    number = as_number(value[key])
    if not is_number(number):
        raise SpecError(f"{where}.{key} = {value[key]!r}, but a finite number is needed")
    return number


def _range(low: float, high: float, log: Unchecked, written: Unchecked, where: str) -> Range:
    step = as_number(written)
    if not isinstance(log, bool):
        raise SpecError(f"{where}.log = {log!r}, but true or false is accepted")
    if step is not None and (not is_number(step) or step <= 0):
        raise SpecError(f"{where}.step = {written!r}, but a positive number is needed")
    if low > high:
        raise SpecError(f"{where}.low = {low:g} is above {where}.high = {high:g}; swap them")
    if log and low <= 0:
        raise SpecError(f"{where}.low = {low!r}, but a log range starts above 0; try 1e-6")
    if log and step is not None:
        raise SpecError(f"{where}.step cannot go with log: true; leave one of them out")
    integer = (
        isinstance(low, int) and isinstance(high, int) and (step is None or isinstance(step, int))
    )
    return Range(low=low, high=high, log=log, step=step, integer=integer)


def read_stored(plain: Unchecked, where: str) -> Domain:
    """The domain that `dataclasses.asdict` gave. Raises SpecError for anything else."""
    content: Fields = plain if isinstance(plain, Mapping) else {}
    choices = content.get("choices")
    if set(content) == {"value"}:
        return Fixed(value=_scalar(content.get("value"), where))
    if set(content) == {"choices"} and isinstance(choices, list | tuple):
        return _choices(choices, where)
    if not {"low", "high"} <= set(content) <= set(Range.__dataclass_fields__):
        raise SpecError(f"{where} is no range, choice or value")
    domain = Range(**content)
    numbers = (domain.low, domain.high) + (() if domain.step is None else (domain.step,))
    flags = (domain.log, domain.integer, domain.in_unit)
    known = domain.unit in ("plain", "complement", "momentum_equivalent")
    if not all(map(is_number, numbers)) or not all(isinstance(flag, bool) for flag in flags):
        raise SpecError(f"{where} is no range of numbers")
    if not known or domain.low > domain.high:
        raise SpecError(f"{where} is no range that can be sampled")
    return domain
