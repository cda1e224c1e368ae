"""What `--json` prints of a study: it is read, and made a document."""

from lrsearch.plain_data import Document
from lrsearch.report.documents import (
    curve_documents,
    reviewed_document,
    study_document,
    trial_documents,
)
from lrsearch.report.load import StudyHandle, report_of
from lrsearch.report.one_trial import no_such_trial
from lrsearch.storage import curves, trials


def summarize(study: StudyHandle) -> Document:
    """A study at a glance, as `study list --json` prints it."""
    return study_document(report_of(study))


def reviewed(study: StudyHandle) -> Document:
    """The same with what the study says about itself, as `study show --json` prints it."""
    return reviewed_document(report_of(study))


def trial_rows(study: StudyHandle) -> list[Document]:
    """Every started trial, as `study trials --json` prints it."""
    return trial_documents(report_of(study))


def curve_rows(
    study: StudyHandle, *, number: int | None, all_attempts: bool
) -> tuple[list[Document], list[str]]:
    """Curves as `study curves` prints them, and the columns in their order.

    Raises StudyError if there is no trial `number`.
    """
    with study.database.read() as connection:
        if number is not None and trials.by_number(connection, study.study_id, number) is None:
            raise no_such_trial(study, number)
        rows = curves.of_study(connection, study.study_id, number=number, all_attempts=all_attempts)
    return curve_documents(rows)
