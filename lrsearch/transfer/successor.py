"""The study that trains a ladder: what is asked for, what is refused, its definition."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lrsearch.command.template import placeholders
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.parts import Budget
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.transfer_field import InSteps, LadderField, Transfer
from lrsearch.transfer.batch import ADAPTIVE, PLAIN, Batch
from lrsearch.transfer.plan import worst_cost
from lrsearch.transfer.runs import Ladder, unusable

#: What the longest short horizon is a share of, and how many there are.
SHARE, RUNGS = 8, 4
#: Short horizons of a run that is too short for a share of an eighth in whole epochs.
FEW = (1, 2, 4)
#: Fields of a recipe that a ladder's runs do not have alike.
FREE = ("epochs", "steps", "seed")
#: What a ladder does without.
NO_SEARCH: Fields = {
    "pruning": None,
    "confirm": None,
    "range_test": "none",
    "portfolio": 0,
    "enqueue": (),
    "baseline": None,
    "warm_start": (),
    "transfer": Transfer(),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for, of a study."""

    to: int
    horizons: tuple[int, ...]
    #: Of both.
    unit: Literal["epochs", "steps"]
    lrs: int
    seeds: int
    probes: int
    objective: Literal["last", "best"]
    #: Of the long runs; None: as the recipe has it.
    batch_size: int | None = None

    @classmethod
    def of(cls, field: Transfer, spec: StudySpec) -> "Request":
        """What the field says, completed. Raises SpecError where it cannot be trained."""
        if field.to is None:
            raise SpecError("transfer.to: the horizon of the long run is needed; give --to EPOCHS")
        in_steps = isinstance(field.horizons, InSteps)
        unit: Literal["epochs", "steps"] = "steps" if in_steps or spec.steps else "epochs"
        if isinstance(field.horizons, InSteps):
            horizons = field.horizons.steps
        else:
            horizons = field.horizons or short_horizons(field.to)
        if why := unusable(horizons, field.to, field.probes):
            raise SpecError(f"transfer: {why}")
        return cls(
            to=field.to,
            horizons=horizons,
            unit=unit,
            lrs=field.lrs,
            seeds=field.seeds,
            probes=field.probes,
            objective=field.objective or spec.objective.at,
            batch_size=field.batch_size,
        )


def short_horizons(to: int) -> tuple[int, ...]:
    """An eighth of the long run and its halves down to 1, at most four, rising.

    Raises SpecError for a long run that is too short for three of them below its half.
    """
    found = sorted({round(to / SHARE / 2**i) for i in range(RUNGS)} - {0})
    if len(found) >= 3 and found[-1] >= 4 * found[0]:
        return tuple(found)
    if to < 2 * FEW[-1]:
        raise SpecError(
            f"transfer.to = {to}, but short horizons of 1, 2 and 4 are at most half of it; give 8 "
            f"or more, or horizons: {{steps: [...]}}"
        )
    return FEW


def successor(
    spec: StudySpec, recipe: Recipe, request: Request, *, name: str, steps_per_epoch: int
) -> StudySpec:
    """The study that trains the ladder of a recipe. Raises SpecError where it cannot."""
    why = refused(spec, recipe, request.unit) or batch_refused(spec, recipe, request)
    if why:
        raise SpecError(f"transfer of study {spec.name!r}: {why}")
    fixed = {k: v for k, v in recipe.to_dict().items() if k not in FREE}
    epochs = request.to if request.unit == "epochs" else request.to / steps_per_epoch
    field = LadderField(
        of=spec.name,
        recipe=fixed,
        unit=request.unit,
        horizons=request.horizons,
        to=request.to,
        lrs=request.lrs,
        seeds=request.seeds,
        probes=request.probes,
        batch_size=request.batch_size,
        reuses_data=epochs > 1,
    )
    horizon: Document = {"epochs": None, "steps": None, request.unit: request.to}
    changes: Document = {
        **NO_SEARCH,
        **horizon,
        "name": name,
        "objective": spec.objective.model_copy(update={"at": request.objective}),
        "ladder": field,
    }
    made = spec.model_copy(update=changes)
    cost = worst_cost(ladder_of(made))
    unit = 1 if request.unit == "epochs" else steps_per_epoch
    budget = Budget(trials=cost.runs, epochs=math.ceil(cost.total / unit))
    if request.unit == "steps" and "batch_size" in spec.space.params:
        budget = Budget(trials=cost.runs)
    return StudySpec.from_stored(made.model_copy(update={"budget": budget}).to_dict())


def ladder_of(spec: StudySpec) -> Ladder:
    """The ladder that a study trains."""
    field = spec.ladder
    assert field is not None
    return Ladder(
        horizons=field.horizons,
        to=field.to,
        centre=float(field.recipe["optimizer"]["lr"]),
        lrs=field.lrs,
        seeds=field.seeds,
        probes=field.probes,
        first_seed=spec.seed,
        reuses_data=field.reuses_data,
        batch=None if field.batch_size is None else _batch_of(field, field.batch_size),
    )


def _batch_of(field: LadderField, long: int) -> Batch:
    """Both batches in samples of an optimizer step; the noise is not measured yet."""
    recipe = Recipe.from_dict(field.recipe)
    assert recipe.batch_size is not None
    return Batch(
        short=recipe.batch_size * recipe.accumulate,
        long=long * recipe.accumulate,
        is_adaptive=recipe.optimizer_name in ADAPTIVE,
    )


def recipe_fields(spec: StudySpec, horizon: int, lr: float, seed: int) -> Document:
    """What a run of the ladder trains."""
    field = spec.ladder
    assert field is not None
    fixed, size = field.recipe, field.batch_size
    if size is not None and horizon == field.to:
        params = fixed.get("params") or {}
        own = {"batch_size": size} if "batch_size" in params else {}
        fixed = {**fixed, "batch_size": size, "params": {**params, **own}}
    return {
        **fixed,
        "optimizer": {**fixed["optimizer"], "lr": lr},
        field.unit: horizon,
        "seed": seed,
    }


def refused(spec: StudySpec, recipe: Recipe, unit: str) -> str:
    """Why no ladder of this recipe tells anything, in words; empty if one may."""
    if spec.ladder is not None:
        return f"it is a transfer itself; name its study, {spec.ladder.of!r}"
    if spec.objective.direction != "minimize":
        metric = spec.objective.metric
        return f"objective {metric!r} is maximized, but the law is one of a loss; minimize one"
    schedule, optimizer = recipe.schedule_name, recipe.optimizer_name
    if "lr" not in recipe.optimizer:
        return f"optimizer {optimizer} of its recipe has no lr"
    if schedule == "plateau":
        return "its schedule is plateau, which follows the loss and not the horizon"
    if optimizer == "rprop" or "schedulefree" in optimizer.lower().replace("_", ""):
        return f"its optimizer is {optimizer}, whose learning rate obeys no such law"
    if spec.program == "command":
        return _command_refused(placeholders(spec.command), unit)
    return ""


def batch_refused(spec: StudySpec, recipe: Recipe, request: Request) -> str:
    """Why no other batch is possible in the long runs, in words; empty if none is asked for."""
    size, name = request.batch_size, recipe.optimizer_name
    if size is None:
        return ""
    asked = f"batch_size = {size}"
    if request.probes == 0:
        return f"{asked} with probes = 0: no rule is sure enough for a guess; leave probes out"
    if request.unit == "steps":
        return f"{asked} with horizons in steps: batches are compared at equal epochs; give those"
    if spec.program != "task":
        return (
            f"{asked}, but it trains a {_PROGRAMS[spec.program]}, whose gradients, which tell how "
            f"lr moves, lrsearch does not see; only a study with a task has them"
        )
    if recipe.batch_size is None:
        return f"{asked}, but its recipe has no batch_size to go from; give one in a recipe FILE"
    if recipe.batch_size == size:
        return f"{asked} is the batch of its recipe; leave it out"
    if name not in (*ADAPTIVE, *PLAIN):
        known = ", ".join((*PLAIN, *ADAPTIVE))
        return f"{asked}, but no rule of lr and batch is known for {name}; it is for {known}"
    return ""


#: What a study without a task trains.
_PROGRAMS = {"command": "command", "train": "script of its own"}


def _command_refused(told: Sequence[str], unit: str) -> str:
    if not {unit, "recipe"} & set(told):
        return (
            f"its command has no {{{unit}}}, so other horizons do not reach it; add its argument "
            f"for {unit}"
        )
    if not {"optimizer.lr", "recipe"} & set(told):
        return "its command has no {lr}; add its argument for the learning rate"
    return ""
