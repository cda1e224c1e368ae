"""The files that a study leaves: report, best recipe, plain PyTorch code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrsearch.advice.cost import cost_plan
from lrsearch.errors import StudyError
from lrsearch.recipe.recipe import Recipe
from lrsearch.study.open_study import OpenStudy


def write_files(search: OpenStudy, study: Mapping[str, Any], out: Path | None) -> Path:
    """The report, and the best recipe as config and code once there is one; their folder."""
    from lrsearch.report.load import load_report
    from lrsearch.report.page import write_report

    folder = report_folder(search.name, out)
    plan = cost_plan(search.spec, search.steps_per_epoch)
    planned = {
        "range_test": plan.range_test,
        "search": plan.search,
        "confirm": plan.confirm,
    }
    report = load_report(search.database, search.name, study["confirmed"], planned=planned)
    try:
        write_report(report, folder)
        if study["best"] is not None:
            for name, form in (("best.yaml", "yaml"), ("best.py", "torch")):
                text = export_text(search, trial=None, form=form)
                (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"cannot write the report in {folder}: {error.strerror}") from error
    return folder


def report_folder(study: str, out: Path | None) -> Path:
    """Where the report of a study goes. Raises StudyError if it cannot be a folder."""
    folder = out if out is not None else Path(f"{study}-report")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise StudyError(f"cannot write the report in {folder}: {there} is a file; name --out")
    return folder


def export_text(search: OpenStudy, *, trial: int | None, form: str) -> str:
    """A trial's recipe (the confirmed one, else the best) as config or code.

    Raises StudyError if there is no such trial, SpecError for a format that is not on offer.
    """
    from lrsearch.export import check_format, export
    from lrsearch.storage import curves, studies, trials
    from lrsearch.study.confirmation import confirmed

    check_format(form)
    with search.database.read() as connection:
        study = studies.by_name(connection, search.name)
        minimize = search.spec.objective.direction == "minimize"
        best = trials.ranked(connection, search.study_id, minimize=minimize, limit=1)
        winners = confirmed(search)
        chosen = trial
        if chosen is None and (winners or best):
            chosen = winners[0]["trial"] if winners else best[0]["number"]
        row = None if chosen is None else trials.by_number(connection, search.study_id, chosen)
        rows = [] if row is None else curves.of_trial(connection, row["id"])
    if trial is not None and (row is None or not row["recipe"]):
        raise StudyError(f"study {search.name!r} has no trial {trial}")
    if row is None or study is None:
        raise StudyError(f"study {search.name!r} has no complete trial to export yet")
    return export(
        Recipe.from_dict(row["recipe"]),
        form,
        study=search.name,
        trial_number=row["number"],
        steps_per_epoch=_steps_per_epoch(rows, search.steps_per_epoch),
        value=row["value"],
        metric=search.spec.objective.metric,
        versions=study["versions"],
        validate_every=search.spec.validate_every,
        rungs=search.spec.pruning.rungs if search.spec.pruning is not None else (),
    )


def _steps_per_epoch(rows: Sequence[Mapping[str, Any]], own: int) -> int:
    """The trial's, which a searched batch size changes; the task's own before its first row."""
    return round(rows[-1]["step"] / rows[-1]["epoch"]) if rows else own
