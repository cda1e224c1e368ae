"""Which schedule may go with which optimizer, warm-up and searched momentum.

What is forbidden, and why, is data of the two registries (`constant_only`, `no_warmup`,
`momentum_flag`, `momentum`); the few lines here read it for a recipe and for a space.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lrsearch.errors import SpecError
from lrsearch.lookup import optimizer_info
from lrsearch.ranges import Domain, Fixed, Range
from lrsearch.schedules import SCHEDULES, beyond_horizon
from lrsearch.units import contains

_NEVER = Fixed(value=0.0)
_OFF = Fixed(value=False)


def takes_warmup(optimizer: str, schedule: str) -> bool:
    """Whether linear warm-up may come first."""
    return _no_warmup(optimizer, schedule) is None


def _no_warmup(optimizer: str, schedule: str) -> tuple[str, str] | None:
    """Whose fault it is that no warm-up may come first, and why; None if it may."""
    for blamed, reason in (
        (schedule, SCHEDULES[schedule].no_warmup),
        (optimizer, _constant_only(optimizer)),
    ):
        if reason is not None:
            return blamed, reason
    return None


def _constant_only(optimizer: str) -> str | None:
    return optimizer_info(optimizer, "optimizer").constant_only


def illegal_pair(optimizer: str, schedule: str) -> str | None:
    """Why this schedule may never drive this optimizer, or None."""
    return None if schedule == "constant" else _constant_only(optimizer)


def illegal(optimizer: str, schedule: Mapping[str, Any], warmup: float) -> str | None:
    """Why a recipe may not have these together, or None."""
    name = schedule["name"]
    if reason := illegal_pair(optimizer, name):
        return f"{reason}; use schedule constant, not {name}"
    if warmup and (obstacle := _no_warmup(optimizer, name)):
        blamed, reason = obstacle
        return f"warmup = {warmup:g} cannot go with {blamed}: {reason}; use warmup 0"
    flag = SCHEDULES[name].momentum_flag
    if flag and schedule.get(flag) and optimizer_info(optimizer, "optimizer").momentum is None:
        return f"{name}.{flag} = true needs momentum, which {optimizer} has not"
    return None


def check_space(
    optimizers: Mapping[str, Mapping[str, Domain]],
    schedules: Mapping[str, Mapping[str, Domain]],
    warmup: Domain,
    where: str,
) -> None:
    """Refuse a space in which something illegal could be sampled. Raises SpecError."""
    for reason in _reasons(optimizers, schedules, warmup, where):
        raise SpecError(reason)


def _reasons(
    optimizers: Mapping[str, Mapping[str, Domain]],
    schedules: Mapping[str, Mapping[str, Domain]],
    warmup: Domain,
    where: str,
) -> Iterator[str]:
    for name, fields in schedules.items():
        yield from _horizon(name, fields, where)
        for optimizer, domains in optimizers.items():
            if reason := illegal_pair(optimizer, name):
                yield f"{where}: {reason}; leave {optimizer} or {name} out"
            obstacle = _no_warmup(optimizer, name)
            if obstacle is not None and not contains(warmup, 0.0):
                blamed, reason = obstacle
                yield (
                    f"{where}.warmup never is 0, but {blamed} takes no warm-up ({reason}); add 0.0 "
                    f"to warmup or leave {blamed} out"
                )
            yield from _momentum(name, fields, optimizer, domains, where)
    for optimizer, domains in optimizers.items():
        yield from _nesterov(optimizer, domains, f"{where}.optimizers.{optimizer}")


def _horizon(name: str, fields: Mapping[str, Domain], where: str) -> Iterator[str]:
    """Whether the largest fractions that could be sampled fit into the run."""
    largest = {key: _largest(fields[key]) for key in SCHEDULES[name].shares}
    if reason := beyond_horizon(name, largest):
        yield f"{where}.schedules.{reason}"


def _largest(domain: Domain) -> Any:
    if isinstance(domain, Range):
        return domain.high
    return domain.value if isinstance(domain, Fixed) else max(domain.choices)  # type: ignore[type-var]


def _momentum(
    schedule: str,
    fields: Mapping[str, Domain],
    optimizer: str,
    domains: Mapping[str, Domain],
    where: str,
) -> Iterator[str]:
    """A schedule that drives momentum needs an optimizer that has one, and does not search it."""
    flag = SCHEDULES[schedule].momentum_flag
    if not flag or not contains(fields[flag], True):
        return
    place = f"{where}.schedules.{schedule}.{flag} = true"
    momentum = optimizer_info(optimizer, "optimizer").momentum
    if momentum is None:
        yield f"{place} needs momentum, which {optimizer} has not"
        return
    keys = ("beta1", "betas") if momentum == "betas" else ("momentum",)
    if any(not isinstance(domains.get(key, _NEVER), Fixed) for key in keys):
        yield (
            f"{place} sets the momentum that {where}.optimizers.{optimizer} searches; "
            f"fix {keys[0]} there or write {flag}: false"
        )


def _nesterov(optimizer: str, domains: Mapping[str, Domain], place: str) -> Iterator[str]:
    info = optimizer_info(optimizer, place)
    if not {"nesterov", "momentum"} <= info.fields.keys():
        return
    nesterov = domains.get("nesterov", Fixed(value=bool(info.default("nesterov"))))
    if nesterov != _OFF and domains.get("dampening", _OFF) != _OFF:
        yield f"{place}.dampening needs nesterov: false; torch refuses both together"
    never = domains.get("momentum", Fixed(value=info.default("momentum"))) == _NEVER
    if never and nesterov == Fixed(value=True):
        yield f"{place}.nesterov = true needs a momentum"
