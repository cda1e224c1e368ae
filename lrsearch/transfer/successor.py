"""The study that trains a ladder: its definition, and what its trials train."""

import math

from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.recipe.trunk import decay_begins
from lrsearch.spec.parts import Budget
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.transfer_field import LadderField, Transfer
from lrsearch.transfer.batch import ADAPTIVE, Batch
from lrsearch.transfer.plan import worst_cost
from lrsearch.transfer.refusals import why_not
from lrsearch.transfer.request import Request
from lrsearch.transfer.runs import Ladder
from lrsearch.transfer.trunk import Trunk

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


def successor(
    spec: StudySpec, recipe: Recipe, request: Request, *, name: str, steps_per_epoch: int
) -> StudySpec:
    """The study that trains the ladder of a recipe. Raises SpecError where it cannot."""
    if why := why_not(spec, recipe, request):
        raise SpecError(f"transfer of study {spec.name!r}: {why}")
    horizon: Document = {"epochs": None, "steps": None, request.unit: request.to}
    changes: Document = {
        **NO_SEARCH,
        **horizon,
        "name": name,
        "objective": spec.objective.model_copy(update={"at": request.objective}),
        "ladder": _field(spec, recipe, request, steps_per_epoch),
    }
    if request.trunk:  # what runs leave for longer ones stays when they have ended
        changes["checkpoints"] = spec.checkpoints.model_copy(update={"keep_weights": True})
    made = spec.model_copy(update=changes)
    budget = _budget(made, request, steps_per_epoch)
    return StudySpec.from_stored(made.model_copy(update={"budget": budget}).to_dict())


def _field(spec: StudySpec, recipe: Recipe, request: Request, steps_per_epoch: int) -> LadderField:
    fixed = {k: v for k, v in recipe.to_dict().items() if k not in FREE}
    if request.trunk:
        fixed = _with_warmup_steps(fixed, recipe, request, spec, steps_per_epoch)
    epochs = request.to if request.unit == "epochs" else request.to / steps_per_epoch
    return LadderField(
        of=spec.name,
        recipe=fixed,
        unit=request.unit,
        horizons=request.horizons,
        to=request.to,
        lrs=request.lrs,
        seeds=request.seeds,
        probes=request.probes,
        batch_size=request.batch_size,
        steps_per_unit=_steps_per_unit(request, steps_per_epoch) if request.trunk else None,
        reuses_data=epochs > 1,
    )


def _steps_per_unit(request: Request, steps_per_epoch: int) -> int:
    return 1 if request.unit == "steps" else steps_per_epoch


def _budget(made: StudySpec, request: Request, steps_per_epoch: int) -> Budget:
    """The most that the ladder takes, each run from step 0."""
    cost = worst_cost(ladder_of(made))
    if request.unit == "steps" and "batch_size" in made.space.params:
        return Budget(trials=cost.runs)
    unit = 1 if request.unit == "epochs" else steps_per_epoch
    return Budget(trials=cost.runs, epochs=math.ceil(cost.total / unit))


def _with_warmup_steps(
    fixed: Document, recipe: Recipe, request: Request, spec: StudySpec, steps_per_epoch: int
) -> Document:
    """The recipe's fields with its warm-up in steps: all runs of a trunk have the same.

    Raises SpecError where it is longer than the shortest runs.
    """
    total = request.horizons[0] * _steps_per_unit(request, steps_per_epoch)
    steps = recipe.warmup_length(recipe.total_steps(steps_per_epoch))
    if steps >= total:
        raise SpecError(
            f"transfer of study {spec.name!r}: trunk = true, but the warm-up of its recipe takes "
            f"{steps} steps, and the shortest runs have {total}; give longer horizons"
        )
    return {**{k: v for k, v in fixed.items() if k != "warmup"}, "warmup_steps": steps}


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
        trunk=None if field.steps_per_unit is None else _trunk_of(field, field.steps_per_unit),
    )


def _trunk_of(field: LadderField, steps_per_unit: int) -> Trunk:
    recipe = Recipe.from_dict(field.recipe)
    return Trunk(
        schedule=recipe.schedule,
        warmup_steps=recipe.warmup_steps or 0,
        steps_per_unit=steps_per_unit,
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


def keep_step(spec: StudySpec, recipe: Recipe) -> int | None:
    """The optimizer step at which a run of this recipe leaves a checkpoint for longer ones.

    None where it leaves none: of a ladder with a trunk the longest runs do not.
    """
    given: int | None = spec.checkpoints.keep_step
    if spec.ladder is None or spec.ladder.steps_per_unit is None:
        return given
    horizon = recipe.epochs or recipe.steps or 0
    if horizon >= spec.ladder.to:
        return None
    total = horizon * spec.ladder.steps_per_unit
    return decay_begins(recipe.schedule, total, recipe.warmup_steps or 0) or None


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
