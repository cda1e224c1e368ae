"""What no ladder tells anything of, or none can be trained for, in words: one line each."""

from collections.abc import Sequence

from lrsearch.command.template import placeholders
from lrsearch.plain_data import Unchecked
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.transfer.batch import ADAPTIVE, PLAIN
from lrsearch.transfer.request import Request

#: Arguments of scripts that are lengths of a schedule, by their names in torch and in transformers.
LENGTHS = (
    *("milestones", "step_size", "T_max", "T_0", "total_iters", "total_steps", "step_size_up"),
    *("warmup_steps", "num_warmup_steps", "num_training_steps", "max_iters", "decay_steps"),
)


def why_not(spec: StudySpec, recipe: Recipe, request: Request) -> str:
    """Why this cannot be trained, or would tell nothing, in words; empty if it can and may."""
    return (
        refused(spec, recipe, request.unit)
        or batch_refused(spec, recipe, request)
        or trunk_refused(spec, recipe, request)
        or lengths_refused(spec, recipe, request)
    )


def refused(spec: StudySpec, recipe: Recipe, unit: str) -> str:
    """Why no ladder of this recipe tells anything, in words; empty if one may."""
    if spec.ladder is not None:
        return f"it is a transfer itself; give the study that it began with, {spec.ladder.of!r}"
    if spec.objective.direction != "minimize":
        metric = spec.objective.metric
        return (
            f"objective {metric!r} is maximized, but only losses, which are minimized, can be "
            f"transferred; give a study whose objective is a loss"
        )
    schedule, optimizer = recipe.schedule_name, recipe.optimizer_name
    if "lr" not in recipe.optimizer:
        return f"optimizer {optimizer} of its recipe has no lr; give a recipe FILE with one"
    if schedule == "plateau":
        return (
            "its schedule is plateau, which follows the loss and not the horizon; give a recipe "
            "FILE with another schedule"
        )
    if optimizer == "rprop" or "schedulefree" in optimizer.lower().replace("_", ""):
        return (
            f"its optimizer is {optimizer}, for whose learning rate nothing can be predicted; give "
            f"a recipe FILE with another optimizer"
        )
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
        return (
            f"{asked} with probes = 0: only long runs can tell whether lr moved as predicted; "
            f"leave probes out"
        )
    if request.unit == "steps":
        return (
            f"{asked} with horizons in steps: batches are compared at equal epochs; give horizons "
            f"in epochs"
        )
    if spec.program != "task":
        return (
            f"{asked}, but it trains a {_PROGRAMS[spec.program]}, whose gradients lrsearch does "
            f"not see, and only they tell how lr moves with the batch; leave batch_size out"
        )
    if recipe.batch_size is None:
        return f"{asked}, but its recipe has no batch_size to go from; give one in a recipe FILE"
    if recipe.batch_size == size:
        return f"{asked} is the batch of its recipe; leave batch_size out"
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


def trunk_refused(spec: StudySpec, recipe: Recipe, request: Request) -> str:
    """Why the runs have no trunk, in words; empty if they have, or none is asked for."""
    if not request.trunk:
        return ""
    if recipe.schedule_name != "wsd":
        return (
            f"trunk = true, but its schedule is {recipe.schedule_name}; only runs of wsd train the "
            f"same steps up to their decay, whatever their length; leave trunk out"
        )
    if spec.program != "task":
        return (
            f"trunk = true, but it trains a {_PROGRAMS[spec.program]}; only runs of a task can go "
            f"on from the checkpoint of another run; leave trunk out"
        )
    if spec.validate_every.fraction is not None:
        return (
            "trunk = true, but it validates at fractions of the run, which fall elsewhere in runs "
            "of other lengths; validate by epochs or steps"
        )
    if request.batch_size is not None:
        return (
            "trunk = true with batch_size: runs with other batches share no steps; leave one of "
            "both out"
        )
    return ""


def lengths_refused(spec: StudySpec, recipe: Recipe, request: Request) -> str:
    """Why the schedule does not stretch with the horizon, in words; empty if it does."""
    if recipe.warmup_steps and not request.trunk:
        return (
            f"its warm-up is {recipe.warmup_steps} steps whatever the horizon, so short runs have "
            f"another schedule than long ones; give a recipe FILE with warmup, a fraction, or for "
            f"wsd transfer.trunk: true"
        )
    if spec.program == "task":
        return ""
    fixed = [name for name in LENGTHS if _is_length(recipe.params.get(name))]
    if not fixed:
        return ""
    name = fixed[0]
    return (
        f"its params.{name} = {recipe.params[name]!r} is a length that stays when the horizon "
        f"changes, so short runs have another schedule than long ones; let the script take a "
        f"fraction of the horizon"
    )


def horizon_note(spec: StudySpec, unit: str) -> str | None:
    """What a script has to see to, in words: nobody else sees its schedule; None for a task."""
    if spec.program == "task":
        return None
    return (
        f"note: all lengths of the script's schedule (warm-up, milestones, T_max) have to follow "
        f"its {unit}, or short runs have another schedule than long ones"
    )


def _is_length(value: Unchecked) -> bool:
    """Whether it counts steps or epochs: a fraction of the horizon is below 1."""
    if isinstance(value, list | tuple):
        return any(_is_length(each) for each in value)
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1
