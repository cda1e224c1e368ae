"""Which optimizers, schedules and warm-ups of a space go together."""

from collections.abc import Iterator, Mapping

from lrsearch.catalog.compatibility import illegal_pair, why_no_warmup
from lrsearch.catalog.domains import Domain, Fixed, Range, Value
from lrsearch.catalog.lookup import beyond_horizon, optimizer_info, schedule_info
from lrsearch.catalog.script import SCRIPT
from lrsearch.errors import SpecError
from lrsearch.space.sampling_units import contains

_NEVER = Fixed(value=0.0)
_OFF = Fixed(value=False)


def check_space(
    optimizers: Mapping[str, Mapping[str, Domain]],
    schedules: Mapping[str, Mapping[str, Domain]],
    warm_up: tuple[str, Domain],
    where: str,
) -> None:
    """Refuse a space in which something illegal could be sampled. Raises SpecError.

    `warm_up` is the field that says how long warm-up is, and its domain.
    """
    for reason in _reasons(optimizers, schedules, warm_up, where):
        raise SpecError(reason)


def _reasons(
    optimizers: Mapping[str, Mapping[str, Domain]],
    schedules: Mapping[str, Mapping[str, Domain]],
    warm_up: tuple[str, Domain],
    where: str,
) -> Iterator[str]:
    for name, fields in schedules.items():
        yield from _horizon(name, fields, where)
        for optimizer, domains in optimizers.items():
            if reason := illegal_pair(optimizer, name):
                yield f"{where}: {reason}; leave {optimizer} or {name} out"
            obstacle = why_no_warmup(optimizer, name)
            if obstacle is not None and not contains(warm_up[1], 0.0):
                blamed, reason = obstacle
                zero = 0.0 if warm_up[0] == "warmup" else 0
                yield (
                    f"{where}.{warm_up[0]} is never 0, but {blamed} takes no warm-up ({reason}); "
                    f"add {zero} to {warm_up[0]} or leave {blamed} out"
                )
            yield from _momentum(name, fields, optimizer, domains, where)
    for optimizer, domains in optimizers.items():
        yield from _nesterov(optimizer, domains, f"{where}.optimizers.{optimizer}")


def _horizon(name: str, fields: Mapping[str, Domain], where: str) -> Iterator[str]:
    """Whether the largest fractions that could be sampled fit into the run."""
    largest = {k: _largest(fields[k]) for k in schedule_info(name, where).shares if k in fields}
    if reason := beyond_horizon(name, largest):
        yield f"{where}.schedules.{reason}"


def _largest(domain: Domain) -> Value:
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
    flag = schedule_info(schedule, where).momentum_flag
    if not flag or not contains(fields.get(flag, _OFF), True):
        return
    place = f"{where}.schedules.{schedule}.{flag} = true"
    if optimizer == SCRIPT:
        return  # it may have momentum
    momentum = optimizer_info(optimizer, "optimizer").momentum
    if momentum is None:
        yield f"{place} needs momentum, and {optimizer} has none"
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
