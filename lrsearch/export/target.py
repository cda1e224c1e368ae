"""Target: what the settings of another library can express, and how the rest is refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.catalog.groups import OF_TASK
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.catalog.script import SCRIPT
from lrsearch.errors import SpecError
from lrsearch.export.header import Origin
from lrsearch.plain_data import Document
from lrsearch.recipe.recipe import Recipe
from lrsearch.trial.rounding import EPSILON

TORCH = "use --format torch"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a format takes; a recipe with anything else is refused in one line."""

    format: str
    optimizers: Sequence[str]
    schedules: Sequence[str]
    #: Of `catalog.schedules`: those that may follow a linear warm-up.
    warmable: Sequence[str]
    precisions: Sequence[str] = ("fp32", "bf16", "fp16")
    #: Parameter groups by the recipe's rules.
    has_groups: bool = False
    #: `weight_decay_exclude_1d`.
    has_exclude_1d: bool = True

    def refused(self, what: str, instead: str = TORCH) -> SpecError:
        return SpecError(f"format {self.format} cannot express {what}; {instead}")

    def check(self, recipe: Recipe) -> None:
        """Raises SpecError for what the format has no words for."""
        self._check_names(recipe)
        if recipe.has_warmup and recipe.schedule_name not in self.warmable:
            others = f"a schedule that it can warm up: {', '.join(self.warmable)}"
            raise self.refused(
                f"a warm-up before {recipe.schedule_name}",
                f"{TORCH}, or {others}" if self.warmable else TORCH,
            )
        if recipe.precision not in self.precisions:
            words = " or ".join(self.precisions)
            raise self.refused(f"precision {recipe.precision}", f"{TORCH}, or precision {words}")
        if recipe.weights == "ema":
            raise self.refused("averaged weights (weights: ema)")
        if recipe.groups == OF_TASK:
            raise self.refused("parameter groups of the task's own function")
        if recipe.groups and not self.has_groups:
            raise self.refused("parameter groups")
        if recipe.optimizer.get("weight_decay_exclude_1d") and not self.has_exclude_1d:
            raise self.refused("weight_decay_exclude_1d, which needs the model")

    def _check_names(self, recipe: Recipe) -> None:
        name, schedule = recipe.optimizer_name, recipe.schedule_name
        if SCRIPT in (name, schedule):
            raise self.refused("an optimizer or schedule of the script's own", "use command")
        if name not in self.optimizers:
            names = ", ".join(self.optimizers)
            raise self.refused(f"optimizer {name}", f"{TORCH}, or one of its optimizers: {names}")
        if schedule not in self.schedules:
            names = ", ".join(self.schedules)
            raise self.refused(f"schedule {schedule}", f"{TORCH}, or one of its schedules: {names}")

    def refuse_arguments(self, recipe: Recipe, *names: str) -> None:
        """Raises SpecError where one of the optimizer's arguments is not the class's default."""
        info = optimizer_info(recipe.optimizer_name, "optimizer")
        for name in names:
            if name in info.fields and info.taken(recipe.optimizer, name) != info.default(name):
                raise self.refused(f"{name} of {recipe.optimizer_name}")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The optimizer steps of the whole run, of its warm-up, and of an epoch."""

    total: int
    warmup: int
    per_epoch: int

    @property
    def main(self) -> int:
        """Steps after the warm-up."""
        return self.total - self.warmup


def clock_of(recipe: Recipe, origin: Origin) -> Clock:
    total = recipe.total_steps(origin.steps_per_epoch)
    return Clock(total=total, warmup=recipe.warmup_length(total), per_epoch=origin.steps_per_epoch)


def schedule_fields(recipe: Recipe) -> Document:
    """All fields of the schedule, those that the recipe leaves out at their defaults."""
    given = {key: value for key, value in recipe.schedule.items() if key != "name"}
    return {**SCHEDULES[recipe.schedule_name].defaults, **given}


def whole_decay(target: Target, decay: float, clock: Clock) -> int:
    """The steps of a decay. Raises SpecError where they are no whole number."""
    steps = decay * clock.main
    if abs(steps - round(steps)) > EPSILON or not round(steps):
        raise target.refused(
            f"a decay of {steps:.6g} steps ({decay:.6g} of {clock.main}), only of whole ones"
        )
    return round(steps)
