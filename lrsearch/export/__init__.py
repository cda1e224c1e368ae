"""Export: a recipe as a file for the user's own training, one small module per target.

It may import `spec`, `recipe`, `trial`, `catalog` and below, never `storage` or torch.
"""

from collections.abc import Callable, Mapping, Sequence

from lrsearch.errors import SpecError, near_miss
from lrsearch.export import json_file, shell, torch_script, yaml_file
from lrsearch.export.header import Origin
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.initial_weights import InitialWeights
from lrsearch.spec.parts import ValidateEvery

_WRITERS: dict[str, Callable[[Recipe, Origin], str]] = {
    "yaml": yaml_file.write,
    "json": json_file.write,
    "torch": torch_script.write,
    "shell": shell.write,
}
FORMATS = tuple(_WRITERS)
#: Formats that are planned for, so that asking for one gets a better answer than a near miss.
NOT_YET = ("lightning", "transformers", "timm")


def check_format(format: str) -> None:
    """Raises SpecError for a format that there is not."""
    if format in NOT_YET:
        raise SpecError(
            f"format {format} is not available in this version; use {', '.join(FORMATS)}"
        )
    if format not in _WRITERS:
        raise SpecError(f"format = {format!r} is none of export's{near_miss(format, FORMATS)}")


def export(
    recipe: Recipe,
    format: str,
    *,
    study: str,
    trial_number: int,
    steps_per_epoch: int,
    value: float | None,
    metric: str,
    versions: Mapping[str, str],
    validate_every: ValidateEvery | None = None,
    rungs: Sequence[float] = (),
    init: InitialWeights | None = None,
    command: str | None = None,
) -> str:
    """The text of the file. `value` is the trial's `metric`, `versions` what trained the study.

    `validate_every` and `rungs` say when the trial was validated, `init` which weights it started
    from, `command` what trains it with the script of the user's own that the study has. Raises
    SpecError for a format that there is not, and for one that the study has nothing for.
    """
    check_format(format)
    origin = Origin(
        study=study,
        trial_number=trial_number,
        steps_per_epoch=steps_per_epoch,
        value=value,
        metric=metric,
        versions=versions,
        validate_every=validate_every or ValidateEvery(),
        rungs=rungs,
        init=init,
        command=command,
    )
    return _WRITERS[format](recipe, origin)
