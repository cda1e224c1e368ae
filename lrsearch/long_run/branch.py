"""Runs of several lengths from one trunk: a WSD schedule's constant part, which they share.

A run of T steps with W of warm-up is constant up to step W + (1 - decay)(T - W), and then decays to
0. Up to there longer runs train the same steps, so each goes on from where the one before it began
to decay (Haegele et al. 2024, who train one constant run and branch the decays off it).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lrsearch.errors import SpecError
from lrsearch.long_run.model_file import ModelFiles
from lrsearch.long_run.train import Trained, begin, train
from lrsearch.long_run.wanted import Chosen, Wanted, chosen_recipe
from lrsearch.recipe.recipe import Recipe
from lrsearch.recipe.trunk import decay_begins
from lrsearch.report.files import steps_per_epoch
from lrsearch.report.load import report_of
from lrsearch.run_study import Progress
from lrsearch.study.checkpoint_cleanup import branch_point_of
from lrsearch.study.stored_study import StoredStudy
from lrsearch.task.task import LoadedTask
from lrsearch.worker.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A run of one length. Steps are optimizer steps."""

    wanted: Wanted
    epochs: int
    #: Where its schedule begins to decay: longer runs go on from here.
    leaves: int
    total_steps: int
    #: The run that it goes on from; None: from step 0.
    trunk: "Branch | None"

    @property
    def name(self) -> str:
        return str(self.wanted.name)

    @property
    def begins(self) -> int:
        """The step that it goes on from."""
        return 0 if self.trunk is None else self.trunk.leaves


@dataclass(frozen=True, kw_only=True)
class Tree:
    """All of them, the shortest first."""

    recipe: Chosen
    warmup_steps: int
    branches: tuple[Branch, ...]
    steps_per_epoch: int

    @property
    def whole_epochs(self) -> float:
        """What the runs would train if each began at step 0."""
        return sum(branch.total_steps for branch in self.branches) / self.steps_per_epoch


def tree_of(
    source: StoredStudy,
    trial: int,
    at: Sequence[int],
    seed: int | None = None,
    *,
    option: str = "--at",
) -> Tree:
    """The runs of a trial's recipe over these numbers of epochs, which `option` gave.

    A warm-up that is a fraction becomes that of the trial in steps, the same for all lengths.
    Raises SpecError for a recipe or lengths that share no trunk, StudyError for no such trial.
    """
    if len(set(at)) != len(at) or len(at) < 2 or min(at) < 1:
        shown = ",".join(map(str, at))
        raise SpecError(
            f"{option} {shown}: two or more different numbers of epochs from 1 are needed"
        )
    recipe, found = _recipe_of(source, trial)
    steps, branches = found.steps_per_epoch, list[Branch]()
    for epochs in sorted(at):
        total, warm = epochs * steps, found.warmup_steps
        if warm >= total:
            raise SpecError(
                f"{option} {epochs}: warm-up takes {warm} of its {total} steps; give longer runs"
            )
        leaves = decay_begins(recipe.schedule, total, warm)
        trunk = branches[-1] if branches else None
        wanted = Wanted(
            recipe=trial,
            epochs=epochs,
            seed=seed,
            name=_name(source.name, trial, epochs, seed),
            keep_step=leaves or None,
            begin_from=None if trunk is None else trunk.name,
        )
        branches.append(
            Branch(wanted=wanted, epochs=epochs, leaves=leaves, total_steps=total, trunk=trunk)
        )
    return replace(found, branches=tuple(branches))


def _recipe_of(source: StoredStudy, trial: int) -> tuple[Recipe, Tree]:
    """The trial's recipe, and a tree without branches yet. Raises SpecError, StudyError."""
    _check_source(source)
    chosen, report = chosen_recipe(source, trial), report_of(source)
    row = next(each for each in report.trials if each.number == trial)
    recipe, steps = Recipe.from_dict(row.recipe or {}), steps_per_epoch(source, report, row)
    if recipe.schedule_name != "wsd":
        raise SpecError(
            f"trial {trial} has schedule {recipe.schedule_name}, which depends on the run's length "
            f"in every step; runs of several lengths share the constant part of wsd alone"
        )
    warm = recipe.warmup_length(recipe.total_steps(steps))
    fields = {key: v for key, v in chosen.fields.items() if key not in ("warmup", "warmup_steps")}
    chosen = replace(chosen, fields={**fields, "warmup_steps": warm})
    return recipe, Tree(recipe=chosen, warmup_steps=warm, branches=(), steps_per_epoch=steps)


def _name(source: str, trial: int, epochs: int, seed: int | None) -> str:
    name = f"{source}-branch-{trial}-at-{epochs}"
    return name if seed is None else f"{name}-seed-{seed}"


def _check_source(source: StoredStudy) -> None:
    spec = source.spec
    if spec.program != "task":
        raise SpecError(
            f"study {source.name!r} trains a script of its own, whose checkpoints hold one run; "
            f"only a study with a task branches runs"
        )
    if spec.validate_every.fraction is not None:
        raise SpecError(
            f"study {source.name!r} validates at fractions of the run, which fall elsewhere in "
            f"runs of other lengths; runs that branch are validated by epochs or steps"
        )


@dataclass(frozen=True, kw_only=True)
class Branched:
    """A run of one length that has come to its end."""

    branch: Branch
    trained: Trained
    #: The step that it began at: 0 where the checkpoint of its trunk is not here.
    began: int
    saved: ModelFiles | None


def train_branches(
    source: StoredStudy,
    tree: Tree,
    resources: Resources,
    *,
    save: Path | None,
    task_dir: Path | None,
    live: LoadedTask | None = None,
    progress: Progress,
) -> Iterator[Branched]:
    """Train the runs one after the other, from their last checkpoints on.

    `save` is a folder for `at-8.pt` and its like; `live` is as in `train.begin`. Raises StudyError
    where one does not come to its end, and as `train.begin` and `train.train`.
    """
    for branch in tree.branches:
        run = begin(source, branch.wanted, recipe=tree.recipe, task_dir=task_dir, live=live)
        began = branch.begins
        if branch.trunk is not None and branch_point_of(source.database, branch.trunk.name) is None:
            began = 0
        trained = train(
            run, resources, task_dir=task_dir, live=live, report_to=None, progress=progress
        )
        trained.complete()
        saved = None if save is None else trained.save(save / f"at-{branch.epochs}.pt")
        yield Branched(branch=branch, trained=trained, began=began, saved=saved)


def check_folder(path: Path | None, option: str = "--save") -> None:
    """Make the folder for the weights of several runs if it is not there; `option` gave it.

    Raises SpecError where a file has its name, or its own folder does not exist.
    """
    if path is None:
        return
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise SpecError(
            f"{option} {path}: {error.strerror}; the name of a folder in one that exists is "
            f"accepted"
        ) from error
