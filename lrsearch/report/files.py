"""The files that a study leaves: report, best recipe, plain PyTorch code."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.errors import StudyError
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.load import StudyHandle, report_of
from lrsearch.report.model import Report
from lrsearch.report.one_trial import no_trial
from lrsearch.report.rows import Trial
from lrsearch.spec.command_line import RECIPE, RECIPE_JSON, command_line
from lrsearch.storage import curves
from lrsearch.study_name import path_part
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from lrsearch.export import Exported
    from lrsearch.report.page.renderers import Renderers

#: Formats of the best recipe that stand beside a report, of a task and of a script.
OF_TASK = (("best.yaml", "yaml"), ("best.py", "torch"))
OF_SCRIPT = ((RECIPE, "yaml"), (RECIPE_JSON, "json"), ("best.sh", "command"))


def write_files(
    study: StudyHandle,
    out: Path | None,
    *,
    png: bool = False,
    renderers: "Renderers | None" = None,
) -> tuple[Report, Path]:
    """The report, and the best recipe as config and code once there is one.

    The report's figures are SVG files; with `png` they are PNG files too. This process renders
    them unless there are `renderers`.

    There is no code for an optimizer of the study's own whose file is not here.

    Returns what was read of the study, and the folder. Raises StudyError if it cannot be written.
    """
    from lrsearch.report.page.page import write_report

    folder = report_folder(study.name, out)
    report = report_of(study, with_curves=True)
    try:
        write_report(report, folder, png=png, renderers=renderers)
        if report.best is not None:
            for name, form in OF_TASK if report.spec.program == "task" else OF_SCRIPT:
                if form == "torch" and not _is_here(report):
                    continue
                text = _exported(study, report, trial=None, form=form, folder=folder)
                (folder / name).write_text(text.text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"cannot write the report in {folder}: {error.strerror}") from error
    return report, folder


def _is_here(report: Report) -> bool:
    """Whether the optimizer to export is known: not a class of a file that lies elsewhere."""
    found = chosen(report, None)
    return found is None or not optimizer_info(found[2].optimizer_name, "optimizer").unseen


def report_folder(study: str, out: Path | None) -> Path:
    """Where the report of a study goes. Raises StudyError if it cannot be a folder."""
    folder = out if out is not None else Path(f"{path_part(study)}-report")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise StudyError(f"cannot write the report in {folder}: {there} is a file; name --out")
    return folder


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What of a recipe is exported otherwise than it was searched."""

    #: Epochs over which the schedule is stretched; None: the recipe's own length.
    epochs: int | None = None
    #: Samples of a batch; None: the recipe's own.
    batch_size: int | None = None


def export_recipe(
    study: StudyHandle, *, trial: int | None, form: str, changes: Changes | None = None
) -> "Exported":
    """A trial's recipe (the confirmed one, else the best) as config or code.

    Raises StudyError if there is no such trial, SpecError for a format that is not on offer or
    cannot express the recipe, and for a change that cannot be answered for.
    """
    from lrsearch.export import check_format

    check_format(form)
    return _exported(study, report_of(study), trial=trial, form=form, changes=changes)


def write_exported(exported: "Exported", out: Path) -> Path:
    """Write it to a file, or into a folder that is there; the path. Raises OSError."""
    path = out / exported.file if out.is_dir() else out
    path.write_text(exported.text, encoding="utf-8")
    return path


def _exported(
    study: StudyHandle,
    report: Report,
    *,
    trial: int | None,
    form: str,
    folder: Path | None = None,
    changes: Changes | None = None,
) -> "Exported":
    from lrsearch.export import export
    from lrsearch.export.changed import changed

    found, number, recipe = _to_export(report, trial)
    steps = steps_per_epoch(study, report, found)
    new, warnings = recipe, tuple[str, ...]()
    if changes is not None:
        new, warnings = changed(
            recipe, epochs=changes.epochs, batch_size=changes.batch_size, steps_per_epoch=steps
        )
    pruning = report.spec.pruning
    return export(
        new,
        form,
        study=report.name,
        trial_number=number,
        steps_per_epoch=steps,
        value=found.value,
        metric=report.metric,
        versions=report.versions,
        validate_every=report.spec.validate_every,
        # A part of the validation set is no validation that a script would repeat.
        rungs=() if pruning is None or pruning.part is not None else pruning.rungs,
        init=report.spec.init,
        command=command_line(report.spec, new, Path() if folder is None else folder),
        warnings=(*_of_its_end(report, found), *_of_its_engine(report), *warnings),
    )


def _of_its_end(report: Report, trial: Trial) -> tuple[str, ...]:
    """What to say of a trial that did not reach its end, unless fresh seeds chose it."""
    if trial.state == TrialState.COMPLETE or trial.number == report.recommended_trial:
        return ()
    return (f"trial {trial.number} is {trial.state}: its recipe was not trained to its end",)


def _of_its_engine(report: Report) -> tuple[str, ...]:
    """What to say of trials that repeat to rounding alone, whatever the script does."""
    if all(record.engine != "compiled" for record in report.engines):
        return ()
    return ("the study trained with compiled steps, which equal a script's own to rounding",)


def _to_export(report: Report, number: int | None) -> tuple[Trial, int, Recipe]:
    """The chosen trial. Raises StudyError where there is none."""
    found = chosen(report, number)
    if found is not None:
        return found
    if number is not None:
        raise no_trial(report, number)
    raise StudyError(f"study {report.name!r} has no complete trial to export yet")


def chosen(report: Report, number: int | None) -> tuple[Trial, int, Recipe] | None:
    """The trial with this number, else the confirmed one, else the best; None if there is none."""
    found = report.best
    if number is not None:
        found = report.trial(number)
    elif report.winner is not None:
        found = report.trial(report.winner.trial)
    if found is None or found.parsed is None or found.number is None:
        return None
    return found, found.number, found.parsed


def steps_per_epoch(study: StudyHandle, report: Report, trial: Trial) -> int:
    """The trial's, which a searched batch size changes; the task's own before its first row."""
    rows = report.curves.get(trial.id)
    if rows is None:
        with study.database.read() as connection:
            rows = tuple(curves.of_trial(connection, trial.id))
    if not rows or rows[-1].epoch <= 0:
        return report.study.steps_per_epoch
    return max(1, round(rows[-1].step / rows[-1].epoch))
