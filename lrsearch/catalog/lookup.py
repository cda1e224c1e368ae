"""What a name in a recipe or a space stands for, and whether what it names can be built."""

from lrsearch.catalog.known_classes import PACKAGES, full_name
from lrsearch.catalog.optimizers import OPTIMIZERS, REFUSED, OptimizerInfo
from lrsearch.catalog.own import factors, own_optimizer, own_schedule
from lrsearch.catalog.schedules import SCHEDULES, ScheduleInfo
from lrsearch.catalog.script import SCRIPT, SCRIPT_OPTIMIZER, SCRIPT_SCHEDULE
from lrsearch.catalog.third_party import third_party_info
from lrsearch.errors import SpecError, near_miss
from lrsearch.other_names import schedule_of
from lrsearch.plain_data import Fields, Unchecked
from lrsearch.task import own_code
from lrsearch.user_input import is_number


def optimizer_info(name: Unchecked, where: str) -> OptimizerInfo:
    """The registry entry for `name`, or what a class of a package or of the study says of itself.

    Raises SpecError with the near miss, or the reason why it cannot be used.
    """
    if isinstance(name, str):
        if name in OPTIMIZERS:
            return OPTIMIZERS[name]
        if name == SCRIPT:
            return SCRIPT_OPTIMIZER
        if own_code.is_own(name):
            return own_optimizer(name, where)
        if name in REFUSED:
            raise SpecError(f"{where} = {name!r} is refused: {REFUSED[name]}")
        if "." in name:
            return third_party_info(name, where)
        if (known := full_name(name)) is not None:
            package = PACKAGES[known.partition(".")[0]]
            raise SpecError(f"{where} = {name!r} is written {known}; install {package} for it")
    raise SpecError(
        f"{where} = {name!r} is not an optimizer{near_miss(name, OPTIMIZERS)}; any other class is "
        f"written package.module.Class, one of your own FILE.py:Class"
    )


def check_optimizer(optimizer: Fields, where: str) -> None:
    """Raises SpecError unless `optimizer` (name, lr, ... as in a recipe) can be built."""
    name = optimizer.get("name")
    info = optimizer_info(name, f"{where}.name")
    limits = info.recipe_fields()
    for key in ("lr", *sorted(info.required)):
        if key not in optimizer:
            raise SpecError(f"{where}.{key} is missing")
    for key, value in optimizer.items():
        if key == "name":
            continue
        if info.unseen and key not in limits:
            continue
        if key not in limits:
            raise SpecError(f"{where}.{key} is not a field of {name}{near_miss(key, limits)}")
        limits[key].check(value, f"{where}.{key}")
    if info.taken(optimizer, "fused") and not info.fused:
        raise SpecError(f"{where}.fused = true, but torch has no fused {info.class_name}")
    if "momentum" in info.fields and info.taken(optimizer, "nesterov"):
        if info.taken(optimizer, "momentum") == 0:
            raise SpecError(f"{where}.nesterov = true needs a momentum above 0")
        if info.taken(optimizer, "dampening"):
            raise SpecError(f"{where}.nesterov = true needs dampening 0")


def schedule_info(name: Unchecked, where: str) -> ScheduleInfo:
    """The registry entry for `name`, or what a function of the study's own says of itself.

    Raises SpecError with the near miss.
    """
    if own_code.is_own(name):
        return own_schedule(name, where)
    if name == SCRIPT:
        return SCRIPT_SCHEDULE
    if not isinstance(name, str) or name not in SCHEDULES:
        ours = schedule_of(name)
        hint = near_miss(name, SCHEDULES) if ours is None else f"; it is {ours!r} here"
        raise SpecError(f"{where} = {name!r} is not a schedule{hint}")
    return SCHEDULES[name]


def check_schedule(schedule: Fields, where: str) -> None:
    """Raises SpecError unless `schedule` (name and fields as in a recipe) can be built."""
    name = schedule.get("name")
    info = schedule_info(name, f"{where}.name")
    given = {key: value for key, value in schedule.items() if key != "name"}
    if own_code.is_own(name) and info.unseen:
        return
    for key, value in given.items():
        if key not in info.fields:
            hint = near_miss(key, info.fields) if info.fields else "; it has none"
            raise SpecError(f"{where}.{key} is not a field of {name}{hint}")
        info.fields[key].check(value, f"{where}.{key}")
    fields = {**info.defaults, **given}
    if own_code.is_own(name):
        factors(name, fields)
    if reason := beyond_horizon(str(name), {k: fields[k] for k in info.shares}):
        raise SpecError(f"{where}.{reason}")


def beyond_horizon(name: str, values: Fields) -> str | None:
    """Why the fractions of `name` do not fit into the horizon, or None."""
    shares = schedule_info(name, "schedule").shares
    total = sum(shares[key] * value for key, value in values.items() if is_number(value))
    if total <= 1:
        return None
    parts = " + ".join(f"{shares[key]:g} x {key} {value:g}" for key, value in values.items())
    return f"{name}: {parts} = {total:g}, but together they are at most 1"
