"""The recipe of a study that a caller means: a trial's, a file's, or the recommended one."""

from pathlib import Path

from lrsearch.errors import SpecError, StudyError
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.load import report_of
from lrsearch.report.one_trial import no_trial
from lrsearch.study.stored_study import StoredStudy


def recipe_of(study: StoredStudy, asked: str | int | Path | None, *, where: str) -> Recipe:
    """The recipe of a trial by its number, of a YAML or JSON file, or that the study recommends.

    It is completed as the study's own recipes are. Raises StudyError where there is none, SpecError
    for one that the study cannot train.
    """
    if isinstance(asked, str) and asked.lstrip("-").isdigit():
        asked = int(asked)
    if isinstance(asked, str | Path):
        fields = Recipe.load(asked).model_dump(mode="json", exclude_unset=True)
        fields = {key: value for key, value in fields.items() if key not in ("epochs", "steps")}
        return study.spec.recipe(fields, batch_size=None, where=f"{where} {asked}")
    report = report_of(study)
    if asked is None:
        found = report.recommended
        if found is None:
            raise StudyError(
                f"study {study.name!r} has no complete trial, so no recipe yet; give {where}"
            )
        return found
    trial = report.trial(asked)
    if trial is None:
        raise no_trial(report, asked)
    if trial.parsed is None:
        raise SpecError(f"{where} {asked}: trial {asked} has no recipe yet")
    return trial.parsed
