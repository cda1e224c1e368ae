"""What a caller asks for, as options or arguments have it, over what the study file says."""

from dataclasses import dataclass

from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.transfer_field import InSteps, Transfer
from lrsearch.transfer.request import Request
from lrsearch.transfer.successor import successor


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Options; what is None is as in the study file."""

    to: int | None = None
    #: As `1,2,4,8`.
    horizons: str | None = None
    probes: int | None = None
    seeds: int | None = None
    objective: str | None = None
    #: Samples of a batch of the long runs.
    batch_size: int | None = None
    #: Of the study that trains the ladder.
    name: str | None = None


def asked_study(spec: StudySpec, recipe: Recipe, asked: Asked, steps_per_epoch: int) -> StudySpec:
    """The study that trains what is asked for. Raises SpecError in one line."""
    request = Request.of(_field(spec.transfer, asked), spec)
    batch = "" if request.batch_size is None else f"-batch-{request.batch_size}"
    name = asked.name or f"{spec.name}-to-{request.to}{batch}"
    return successor(spec, recipe, request, name=name, steps_per_epoch=steps_per_epoch)


def _field(field: Transfer, asked: Asked) -> Transfer:
    given = {
        "to": asked.to,
        "horizons": _horizons(field, asked.horizons),
        "probes": asked.probes,
        "seeds": asked.seeds,
        "objective": asked.objective,
        "batch_size": asked.batch_size,
    }
    if asked.to is not None and asked.horizons is None and asked.to != field.to:
        given["horizons"] = field.horizons if field.to is None else None
    changes = {key: value for key, value in given.items() if value is not None}
    limits = {"to": (2, 2**31 - 1), "seeds": (1, 100), "batch_size": (1, 2**31 - 1)}
    for key, (low, high) in limits.items():
        value = changes.get(key)
        if isinstance(value, int) and not low <= value <= high:
            option = key.replace("_", "-")
            raise SpecError(f"--{option} {value}: {low} to {high} is accepted")
    if asked.probes not in (None, 0, 3):
        raise SpecError(f"--probes {asked.probes}: 3 is accepted, or 0 for a guess")
    if asked.objective not in (None, "last", "best"):
        raise SpecError(f"--objective {asked.objective}: last or best is accepted")
    return field.model_copy(update=changes)


def _horizons(field: Transfer, text: str | None) -> tuple[int, ...] | InSteps | None:
    """Raises SpecError for anything but whole numbers with commas between them."""
    if text is None:
        return None
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1 or max(numbers) >= 2**31:
        raise SpecError(
            f"--horizons {text}: whole numbers from 1 with commas are accepted, such as 1,2,4,8"
        )
    return InSteps(steps=numbers) if isinstance(field.horizons, InSteps) else numbers
