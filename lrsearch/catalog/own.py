"""Optimizers and schedules of a study's own files: what their signatures say of them.

Where a file was not loaded, as on a machine that only reads studies, fields are not known and not
checked; they were when the study was made.
"""

import inspect
import math
from collections.abc import Mapping
from types import FunctionType

from lrsearch.catalog.fields import FieldLimit
from lrsearch.catalog.known_classes import KnownClass
from lrsearch.catalog.optimizers import OptimizerInfo
from lrsearch.catalog.schedules import ScheduleInfo
from lrsearch.catalog.third_party import class_info, is_field, limit_of, refuse_class
from lrsearch.errors import SpecError, describe, near_miss
from lrsearch.plain_data import Fields
from lrsearch.task import own_code
from lrsearch.user_input import is_number

#: Class attribute with what `{}` searches, as a study file writes it; a function's too.
RANGES = "lrsearch_ranges"
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
#: At how many places of a run a schedule's factors are looked at.
LOOKED_AT = 101


def own_optimizer(name: str, where: str) -> OptimizerInfo:
    """What the constructor of the study's own class says. Raises SpecError if it cannot train."""
    found = own_code.loaded(name)
    if found is None:
        return OptimizerInfo(path=name, fields={}, ranges={}, unseen=True)
    try:
        refuse_class(name, found)
        plain = class_info(name, found, KnownClass())
        return class_info(name, found, KnownClass(written=_ranges(found, plain.searchable())))
    except SpecError as error:
        raise SpecError(f"{where} = {name!r}: {error}") from error


def own_schedule(name: str, where: str) -> ScheduleInfo:
    """What the study's own function of progress takes beside it. Raises SpecError if it is none."""
    found = own_code.loaded(name)
    if found is None:
        return ScheduleInfo(fields={}, defaults={}, ranges={}, unseen=True)
    if isinstance(found, type):
        raise SpecError(f"{where} = {name!r} is a class, but a schedule is a function of progress")
    (_, *arguments) = inspect.signature(found).parameters.values()
    taken = {a.name: a.default for a in arguments if is_field(a.name, a.default)}
    if len(taken) < len(arguments) or any(a.kind in _REST for a in arguments):
        raise SpecError(f"{where} = {name!r}: all arguments but progress have names and defaults")
    if without := [a.name for a in arguments if a.default is a.empty]:
        raise SpecError(f"{where} = {name!r}: argument {without[0]} needs a default")
    fields = {key: limit_of(key, default) for key, default in taken.items()}
    defaults = {key: list(v) if isinstance(v, tuple) else v for key, v in taken.items()}
    return ScheduleInfo(fields=fields, defaults=defaults, ranges={}, written=_ranges(found, fields))


def _ranges(found: type | FunctionType, limits: Mapping[str, FieldLimit]) -> Fields:
    """What its attribute `lrsearch_ranges` says, which may name what the signature does."""
    written = getattr(found, RANGES, {})
    if not isinstance(written, Mapping):
        raise SpecError(f"{RANGES} is {type(written).__name__}, but a mapping is needed")
    for key in written:
        if key not in limits:
            raise SpecError(f"{RANGES} has {key!r}, which is not taken{near_miss(key, limits)}")
    return written


def factors(name: str, fields: Fields) -> list[float]:
    """Factors of lr from the run's begin to its end, evenly spread; none if it is not loaded.

    Raises SpecError where one is no finite number from 0 on.
    """
    shape = own_code.loaded(name)
    if shape is None:
        return []
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    found = []
    for i in range(LOOKED_AT):
        progress = i / (LOOKED_AT - 1)
        try:
            factor = shape(progress, **given)
        except Exception as error:
            raise SpecError(f"{_call(name, progress, given)} raised {describe(error)}") from error
        if not is_number(factor) or not math.isfinite(factor) or factor < 0:
            raise SpecError(
                f"{_call(name, progress, given)} is {factor!r}, but a finite number from 0 on is "
                f"needed, a factor of lr"
            )
        found.append(float(factor))
    if not any(found):
        raise SpecError(f"{_call(name, 0.0, given)} and later is 0 throughout; lr would be 0")
    return found


def _call(name: str, progress: float, fields: Fields) -> str:
    arguments = ", ".join([f"{progress:g}", *(f"{key}={value!r}" for key, value in fields.items())])
    return f"schedule {name}({arguments})"
