"""Export: a recipe as a file for the user's own training, one small module per target.

It may import `spec`, `recipe`, `trial`, `catalog` and below, never `storage` or torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lrsearch.errors import SpecError, near_miss
from lrsearch.export import (
    command,
    hydra_group,
    json_file,
    lightning_module,
    timm_args,
    torch_script,
    training_arguments,
    yaml_file,
)
from lrsearch.export.header import Origin
from lrsearch.other_names import FORMATS as OTHER_NAMES
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.initial_weights import InitialWeights
from lrsearch.spec.parts import ValidateEvery


def _nothing(recipe: Recipe) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class _Format:
    write: Callable[[Recipe, Origin], str]
    #: The file's name in a folder.
    file: str
    #: What the target does otherwise than the recipe.
    lost: Callable[[Recipe], tuple[str, ...]] = _nothing


_FORMATS = {
    "yaml": _Format(write=yaml_file.write, file="best.yaml"),
    "json": _Format(write=json_file.write, file="best.json"),
    "torch": _Format(write=torch_script.write, file="best.py"),
    "lightning": _Format(write=lightning_module.write, file="best_lightning.py"),
    "transformers": _Format(
        write=training_arguments.write,
        file="best_transformers.py",
        lost=training_arguments.notes,
    ),
    "timm": _Format(write=timm_args.write, file="args.yaml"),
    "hydra": _Format(write=hydra_group.write, file="best_hydra.yaml"),
    "command": _Format(write=command.write, file="best.sh"),
}
FORMATS = tuple(_FORMATS)
#: What the formats of other libraries can express.
TARGETS = (
    lightning_module.TARGET,
    training_arguments.TARGET,
    timm_args.TARGET,
    hydra_group.TARGET,
)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A recipe in a format."""

    text: str
    #: The name of its file where a folder is given.
    file: str
    #: What the format does otherwise than the recipe, a sentence each.
    lost: tuple[str, ...] = ()
    #: What else a reader has to know, a sentence each.
    warnings: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """All of it; the header of a text with comments says the same."""
        return (*self.warnings, *self.lost)


def check_format(format: str) -> str:
    """Today's name of a format. Raises SpecError for one that there is not."""
    name = OTHER_NAMES.get(format, format)
    if name not in _FORMATS:
        raise SpecError(f"format = {format!r} is none of export's{near_miss(format, FORMATS)}")
    return name


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
    warnings: Sequence[str] = (),
) -> Exported:
    """The recipe as a file. `value` is the trial's `metric`, `versions` what trained the study.

    `validate_every` and `rungs` say when the trial was validated, `init` which weights it started
    from, `command` what trains it with the script of the user's own that the study has, `warnings`
    what else its reader has to know. Raises SpecError for a format that there is not, for one that
    the study has nothing for, and for a recipe that the format cannot express.
    """
    form = _FORMATS[check_format(format)]
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
    lost = form.lost(recipe)
    text = form.write(recipe, replace(origin, notes=(*warnings, *lost)))
    return Exported(text=text, file=form.file, lost=lost, warnings=tuple(warnings))
