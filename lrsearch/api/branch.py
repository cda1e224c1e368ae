"""Models of several lengths from one trunk, as `Result.branch` gives them."""

from collections.abc import Sequence
from pathlib import Path

from lrsearch.api.temporary_place import TemporaryPlace
from lrsearch.api.trained_model import TrainedModel
from lrsearch.api.training import Training
from lrsearch.long_run.branch import Tree, check_folder, train_branches, tree_of
from lrsearch.run_study import ProgressBar
from lrsearch.study.stored_study import StoredStudy


def asked_tree(source: StoredStudy, trial: int, at: Sequence[int], seed: int | None) -> Tree:
    """The runs that are asked for. Raises SpecError, StudyError."""
    return tree_of(source, trial, at, seed, option="branch(): at =")


def branched(
    source: StoredStudy,
    tree: Tree,
    training: Training,
    *,
    save: Path | None,
    place: TemporaryPlace | None,
) -> tuple[TrainedModel, ...]:
    """Train them, see `Result.branch`; `place` is where a study without a name lives."""
    check_folder(save, "branch(): save =")
    found = train_branches(
        source,
        tree,
        training.one_worker,
        save=save,
        task_dir=training.folder,
        live=training.live,
        progress=ProgressBar(),
    )
    return tuple(TrainedModel(each.trained, place=place) for each in found)
