"""Which schedule may go with which optimizer, warm-up and searched momentum.

What is forbidden, and why, is data of the two registries (`constant_only`, `no_warmup`,
`momentum_flag`, `momentum`); the few lines here read it for a recipe and for a space.
"""

from lrsearch.catalog.lookup import optimizer_info, schedule_info
from lrsearch.catalog.script import SCRIPT
from lrsearch.plain_data import Fields


def takes_warmup(optimizer: str, schedule: str) -> bool:
    """Whether linear warm-up may come first."""
    return why_no_warmup(optimizer, schedule) is None


def why_no_warmup(optimizer: str, schedule: str) -> tuple[str, str] | None:
    """The schedule or optimizer that takes no warm-up, and why; None if both take one."""
    for blamed, reason in (
        (schedule, schedule_info(schedule, "schedule").no_warmup),
        (optimizer, _constant_only(optimizer)),
    ):
        if reason is not None:
            return blamed, reason
    return None


def _constant_only(optimizer: str) -> str | None:
    return optimizer_info(optimizer, "optimizer").constant_only


def illegal_pair(optimizer: str, schedule: str) -> str | None:
    """Why this schedule may never drive this optimizer, or None."""
    return None if schedule in ("constant", SCRIPT) else _constant_only(optimizer)


def illegal(
    optimizer: str, schedule: Fields, warmup: float, warmup_steps: int | None = None
) -> str | None:
    """Why a recipe may not have these together, or None."""
    name = schedule["name"]
    if reason := illegal_pair(optimizer, name):
        return f"{reason}; use schedule constant, not {name}"
    obstacle = why_no_warmup(optimizer, name)
    for field, value in (("warmup", warmup), ("warmup_steps", warmup_steps)):
        if value and obstacle is not None:
            blamed, reason = obstacle
            return f"{field} = {value:g} cannot go with {blamed}: {reason}; use {field} 0"
    flag = schedule_info(name, "schedule").momentum_flag
    if optimizer == SCRIPT:
        return None  # it may have momentum
    info = optimizer_info(optimizer, "optimizer")
    if flag and schedule.get(flag) and info.momentum is None and not info.unseen:
        return f"{name}.{flag} = true needs momentum, and {optimizer} has none"
    return None
