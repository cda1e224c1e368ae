"""The weights of a long run as a file for plain PyTorch, its recipe beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.child_process.folders import search_name, trial_folder
from lrsearch.errors import SpecError, StudyError, describe
from lrsearch.report.files import export_recipe
from lrsearch.report.rows import Trial
from lrsearch.storage import checkpoints
from lrsearch.storage.leases import Kind
from lrsearch.study.checkpoint_cleanup import store_of
from lrsearch.study.stored_study import StoredStudy

if TYPE_CHECKING:
    from lrsearch.training.kept_weights import KeptWeights

#: Beside `model.pt` the recipe is `model.yaml`.
RECIPE = ".yaml"
#: File names that promise another format than torch's.
OTHER_FORMATS = (".safetensors", ".onnx", ".ckpt", ".h5", RECIPE, ".yml")


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """What was written."""

    #: A state dict that `torch.load(..., weights_only=True)` reads.
    weights: Path
    recipe: Path


def check_place(path: Path, option: str = "--save") -> None:
    """Raises SpecError for a path that no model file can be written to, before it is trained."""
    if path.suffix in OTHER_FORMATS:
        raise SpecError(
            f"{option} {path}: a file of torch.save is written; name it, for example, "
            f"{path.with_suffix('.pt')}"
        )
    if path.is_dir():
        raise SpecError(f"{option} {path} is a folder; name a file, such as {path / 'model.pt'}")
    if not path.absolute().parent.is_dir():
        raise SpecError(f"{option} {path}: the folder {path.parent} does not exist")


def kept_weights(study: StoredStudy, trial: Trial) -> "KeptWeights":
    """The weights that the trial's value is of. Raises StudyError where they are not here."""
    from lrsearch.training.kept_weights import kept_in

    if study.spec.program == "train":
        return _of_script(study, trial)
    store = store_of(study)
    rows = study.database.look(
        lambda connection: checkpoints.newest_first(connection, Kind.TRIAL, trial.id)
    )
    for row in rows:
        data = store.read(row.file, row.sha256, row.bytes)
        if data is None:
            continue
        try:
            kept = kept_in(data)
        except Exception as error:  # bytes can be wrong in more ways than torch has errors for
            raise StudyError(
                f"the weights of {study.name!r} cannot be read: {describe(error)}"
            ) from error
        if kept is not None:
            return kept
    raise StudyError(
        f"the weights of {study.name!r} are not in {store.where}: another machine may have them, "
        f"or the worker could not write them, which its log says; run this command where that "
        f"folder is, or give the study a folder that all machines see (checkpoints in its file)"
    )


def _of_script(study: StoredStudy, trial: Trial) -> "KeptWeights":
    """What the script has written into its trial's folder. Raises StudyError as `kept_weights`."""
    from lrsearch.worker.scripts.kept import kept_model

    assert trial.number is not None
    folder = trial_folder(study.name, search_name(trial.number))
    kept = kept_model(folder)
    if kept is not None and kept.row.validation == trial.best_validation:
        return kept
    raise StudyError(
        f"the weights of {study.name!r} are not in {folder}: they are kept on the machine that "
        f"trained, if the script gives its model to run.build(model, ...); give the command there, "
        f"or let the script save them into run.folder"
    )


def save_model(study: StoredStudy, trial: Trial, kept: "KeptWeights", path: Path) -> ModelFiles:
    """Write the weights as a plain state dict, and the recipe beside it.

    Raises StudyError if they cannot be written.
    """
    recipe = path.with_suffix(RECIPE)
    text = export_recipe(study, trial=trial.number, form="yaml").text
    try:
        kept.write(path)
        recipe.write_text(text, encoding="utf-8")
    except (OSError, RuntimeError) as error:  # torch has RuntimeError for a full disk
        raise StudyError(f"cannot write {path}: {describe(error)}") from error
    return ModelFiles(weights=path, recipe=recipe)
