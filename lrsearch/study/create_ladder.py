"""Making the study that trains a ladder, or finding it."""

from sqlalchemy.exc import IntegrityError

from lrsearch.errors import StudyError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import repeats, studies
from lrsearch.storage.database import explained
from lrsearch.study.create import insert_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.stored_study import StoredStudy


def make_ladder(source: StoredStudy, spec: StudySpec) -> OpenStudy:
    """The ladder of a study, made or found with the same definition.

    Its files and versions are those of its study. Raises StudyError where another study has its
    name.
    """
    database = source.database
    with explained(database):
        try:
            with database.begin() as connection:
                if studies.by_name(connection, spec.name) is None:
                    study_id = insert_study(
                        connection,
                        spec,
                        source.steps_per_epoch,
                        code=source.code,
                        versions=source.versions,
                    )
                    studies.change(connection, study_id, resume=source.record.resume)
                    repeats.exhausted(connection, study_id)  # it samples nothing
        except IntegrityError:  # another process was quicker
            pass
    found = OpenStudy.open(database, spec.name)
    changes = found.spec.differences(spec)
    if changes:
        raise StudyError(
            f"study {spec.name!r} exists with another definition: {'; '.join(changes)}; give "
            f"--name for another one"
        )
    return found
