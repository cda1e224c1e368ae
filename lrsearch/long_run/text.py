"""A long run in words, and as a JSON document."""

from collections.abc import Sequence
from pathlib import Path

from lrsearch.long_run.branch import Branched, Tree
from lrsearch.long_run.model_file import ModelFiles
from lrsearch.long_run.train import LongRun, Trained
from lrsearch.plain_data import Document
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.text.format import amount, duration, number, percent
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import best_validation
from lrsearch.storage import curves
from lrsearch.storage.records import CurveRecord


def begin_text(run: LongRun) -> str:
    """Before it trains: what, for how long, and what is not known of it."""
    spec = run.study.spec
    recipe = Recipe.from_dict(spec.enqueue[0])
    goes_on = "begins" if run.is_new else "goes on"
    lines = [
        f"recipe: {recipe.title()} ({run.recipe.title})",
        f"run: {length_text(spec)}, seed {spec.seed}; it {goes_on} as study {run.study.name}",
    ]
    return "\n".join([*lines, *([] if run.note is None else [f"note: {run.note}"])])


def length_text(spec: StudySpec) -> str:
    """`64 epochs`, `5000 steps`"""
    return f"{spec.epochs} epochs" if spec.epochs is not None else f"{spec.steps} steps"


def measured(trained: Trained) -> CurveRecord | None:
    """The validation that gives its value; None where it has no finite one."""
    trial, study = trained.complete(), trained.run.study
    with study.database.read() as connection:
        rows = curves.of_trial(connection, trial.id)
    return best_validation(rows, study.spec)


def end_text(trained: Trained, saved: ModelFiles | None) -> str:
    """After it has trained. Raises StudyError where it did not come to its end."""
    trial, spec, row = trained.complete(), trained.run.study.spec, measured(trained)
    lines = [f"{trained.report.metric} {number(trial.value)}{_at(spec, row)}"]
    if trial.reason:
        lines.append(trial.reason)
    lines.append(f"trained {trial.epochs:g} epochs in {duration(trial.seconds)}")
    if trained.wall_seconds:
        lines.append(f"Training took {duration(trained.wall_seconds)}.")
    if saved is not None:
        weights = "averaged weights" if spec.ema is not None and spec.ema.deploy else "weights"
        lines.append(f"model: {saved.weights} (a state dict, the {weights} of that validation)")
        lines.append(f"recipe: {saved.recipe}")
    if trained.folder is not None:
        lines.append(f"Report: {page(trained.folder)}")
    return "\n".join(lines)


def _at(spec: StudySpec, row: CurveRecord | None) -> str:
    if row is None:
        return ""
    which = "last" if spec.objective.at == "last" else "best"
    return f" at epoch {row.epoch:g} of {length_text(spec)}, the {which} validation"


def page(folder: Path) -> Path:
    return folder.absolute() / "report.html"


def document(trained: Trained, saved: ModelFiles | None) -> Document:
    """What `lrsearch train --json` prints. Raises StudyError as `end_text`."""
    trial, spec, row = trained.complete(), trained.run.study.spec, measured(trained)
    return {
        "study": trained.report.name,
        "trial": trial.number,
        "recipe": trial.recipe,
        "recipe_of": trained.run.recipe.title,
        "epochs": trial.epochs,
        "seconds": trial.seconds,
        "seed": spec.seed,
        "metric": trained.report.metric,
        "value": trial.value,
        "validation": None
        if row is None
        else {"epoch": row.epoch, "step": row.step, "val_loss": row.val_loss},
        "note": trained.run.note,
        "model": None if saved is None else str(saved.weights.absolute()),
        "recipe_file": None if saved is None else str(saved.recipe.absolute()),
        "report": None if trained.folder is None else str(page(trained.folder)),
    }


def tree_text(tree: Tree) -> str:
    """Before its runs train: what they share."""
    recipe = Recipe.from_dict(tree.recipe.fields)
    return "\n".join(
        [
            f"recipe: {recipe.title()} ({tree.recipe.title})",
            f"trunk: {tree.warmup_steps} steps of warm-up, then lr {recipe.lr:.3g}; each run goes "
            f"on from where the one before it began to decay",
        ]
    )


def branch_text(found: Branched, steps_per_epoch: int) -> str:
    """One run, once it has ended."""
    own = (found.branch.total_steps - found.began) / steps_per_epoch
    value, metric = found.trained.complete().value, found.trained.report.metric
    saved = "" if found.saved is None else f"; model: {found.saved.weights}"
    return (
        f"at {found.branch.epochs} epochs: {metric} {number(value)}, {amount(own)} epochs trained "
        f"(study {found.branch.name}){saved}"
    )


def cost_text(tree: Tree, found: Sequence[Branched]) -> str:
    """What all runs trained, beside as many from the start."""
    own = trained_epochs(tree, found)
    less = percent(1 - own / tree.whole_epochs)
    return (
        f"cost: {amount(own)} epochs; {len(found)} runs from step 0 train "
        f"{amount(tree.whole_epochs)}: {less} % saved"
    )


def trained_epochs(tree: Tree, found: Sequence[Branched]) -> float:
    """Epochs that the runs trained between them, each from where it began."""
    return sum(each.branch.total_steps - each.began for each in found) / tree.steps_per_epoch


def tree_document(tree: Tree, found: Sequence[Branched]) -> Document:
    """What `lrsearch branch --json` prints."""
    return {
        "recipe_of": tree.recipe.title,
        "warmup_steps": tree.warmup_steps,
        "runs": [
            {
                **document(each.trained, each.saved),
                "horizon": each.branch.epochs,
                "began_at_step": each.began,
                "branch_point": each.branch.leaves,
            }
            for each in found
        ],
        "cost": {"epochs": trained_epochs(tree, found), "whole_epochs": tree.whole_epochs},
    }
