"""The learning rate of each step, as the recipe's scheduler sets it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.recipe.lr_factors import lr_factors
from lrsearch.recipe.recipe import Recipe

if TYPE_CHECKING:
    from torch.optim import Optimizer

#: A picture needs no more points than this.
MOST_POINTS = 500
#: Longer runs are stepped through at this length: schedules are fractions of the horizon, so the
#: shape is the same, and a million scheduler steps would take half a minute.
MOST_STEPS = 20_000


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """Learning rates of one trial: each holds from its epoch to the next; the last is repeated."""

    trial: int
    epochs: tuple[float, ...]
    lrs: tuple[float, ...]
    #: Momentum, or beta1, of an optimizer that has one; not where `recorded`.
    momenta: tuple[float, ...] | None = None
    #: Whether the trial's own validations tell it, not the recipe.
    recorded: bool = False


def thin(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 .. count - 1, evenly spread, both ends included."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def lr_sequence(
    trial: int, recipe: Recipe, steps_per_epoch: int, *, with_momentum: bool = False
) -> Sequence:
    """The learning rate at every step of a recipe, as far as it does not look at losses.

    Momentum is told where the schedule cycles it, or always with `with_momentum`; that loads torch.
    """
    if with_momentum or recipe.schedule.get("cycle_momentum"):
        return _stepped(trial, recipe, steps_per_epoch)
    total = recipe.total_steps(steps_per_epoch)
    factor = lr_factors(
        recipe.schedule,
        total_steps=total,
        warmup=recipe.warmup,
        warmup_steps=recipe.warmup_steps,
    )
    kept = thin(total, MOST_POINTS - 1)
    return Sequence(
        trial=trial,
        epochs=(*(i / steps_per_epoch for i in kept), total / steps_per_epoch),
        lrs=tuple(recipe.lr * factor(i) for i in (*kept, total - 1)),
    )


def _stepped(trial: int, recipe: Recipe, steps_per_epoch: int) -> Sequence:
    """Learning rate and momentum, step by step by the real scheduler."""
    from lrsearch.recipe.build_scheduler import build_schedule

    total = recipe.total_steps(steps_per_epoch)
    epochs = total / steps_per_epoch
    steps = min(total, MOST_STEPS)
    optimizer = _groups_only(recipe)
    warmup = recipe.warmup_steps / total if recipe.warmup_steps else recipe.warmup
    scheduler = build_schedule(
        optimizer, recipe.schedule, total_steps=steps, warmup=warmup, validations=1
    )
    lrs, momenta = [], []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        lrs.append(float(group["lr"]))
        if (momentum := _momentum(group)) is not None:
            momenta.append(momentum)
        optimizer.step()
        scheduler.step()
    kept = thin(steps, MOST_POINTS - 1)
    return Sequence(
        trial=trial,
        epochs=(*(i / steps * epochs for i in kept), epochs),
        lrs=(*(lrs[i] for i in kept), lrs[-1]),
        momenta=(*(momenta[i] for i in kept), momenta[-1]) if momenta else None,
    )


def _groups_only(recipe: Recipe) -> "Optimizer":
    """An optimizer with the recipe's parameter group and nothing else, for a scheduler to work on.

    It trains nothing, and is there in 3 ms: torch's own optimizers load its compiler when they are
    built, which takes 1.5 s.
    """
    from torch.optim import Optimizer

    class GroupsOnly(Optimizer):
        def __init__(self, group: dict[str, Any]) -> None:
            # Not super().__init__(), which loads the compiler. Schedulers look at these two alone.
            self.param_groups = [group]
            self.defaults = dict(group)

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            """Nothing to train."""

    info = optimizer_info(recipe.optimizer_name, "optimizer.name")
    group = {"params": [], "lr": recipe.lr}
    if info.momentum is not None:
        group[info.momentum] = recipe.optimizer.get(info.momentum, info.default(info.momentum))
    return GroupsOnly(group)


def _momentum(group: Mapping[str, Any]) -> float | None:
    """The first moment's share that is kept; None for an optimizer without one."""
    momentum = group["betas"][0] if "betas" in group else group.get("momentum")
    return None if momentum is None else float(momentum)


def recorded_sequence(trial: int, validations: Iterable[tuple[float, float]]) -> Sequence:
    """What (epoch, learning rate until then) at a trial's validations say; for plateau all of it.

    A plateau schedule has no fixed sequence, but changes the learning rate at validations only.
    """
    epochs, lrs = [0.0], []
    for epoch, lr in validations:
        epochs.append(epoch)
        lrs.append(lr)
    kept = thin(len(lrs), MOST_POINTS - 1)
    return Sequence(
        trial=trial,
        epochs=(*(epochs[i] for i in kept), epochs[-1]) if lrs else (),
        lrs=(*(lrs[i] for i in kept), lrs[-1]) if lrs else (),
        recorded=True,
    )
