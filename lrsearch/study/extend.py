"""A study with another space: Optuna's choices cannot grow, so a successor takes its trials over.

Everything that a reader could see changes in one transaction: whoever dies in it leaves the old
study as it was.
"""

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from lrsearch.errors import StudyError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import actions, studies, take_over_trials
from lrsearch.storage.database import explained
from lrsearch.storage.postgresql import unhurried
from lrsearch.storage.records import StudyRecord
from lrsearch.study import warm_start
from lrsearch.study.create import changed_code, continue_with
from lrsearch.study.extend_transaction import Extension, TakeOver
from lrsearch.study.open_study import OpenStudy
from lrsearch.study_name import project_or_default
from lrsearch.task.task import LoadedCode


def extend_study(
    search: OpenStudy, spec: StudySpec, loaded: LoadedCode, *, steps_per_epoch: int
) -> Extension:
    """Apply a spec with another space, budget, baseline or queue to a study, keeping its trials.

    Under the study's own name the successor takes that name, and the old study is renamed and
    closed; under another one it is made beside the old, which stays as it is. Raises StudyError,
    and changes nothing, if the spec changes what a trial is, a worker still trains the study, or
    another process extends it at the same time.
    """
    spec = spec.continuing(search.spec)
    _refuse_other_trials(search, spec, loaded)
    new_entries = [entry for entry in spec.warm_start if entry not in search.spec.warm_start]
    with explained(search.database):
        lessons = warm_start.gather(search.database, spec, new_entries, loaded)
        search.all_trials()  # Optuna keeps those that have ended, and reads only others later on
        try:
            with search.database.begin() as connection, unhurried(connection):
                # Trials before their study, as workers lock them when a trial ends.
                held = take_over_trials.hold_running(connection, search.study_id)
                project = project_or_default(spec.project)
                actions.record(connection, project, spec.name, f"extended {search.name}")
                row = _hold(connection, search, spec)
                if spec.name == row.name and not search.spec.differences(spec):
                    continue_with(connection, search.study_id, spec, search.steps_per_epoch)
                    return Extension(name=spec.name, old=None)
                move = TakeOver(connection, search, spec, loaded, row)
                move.refuse_running({trial.id for trial in held})
                return move.make(loaded, steps_per_epoch, lessons)
        except IntegrityError as error:
            raise StudyError(
                f"study {spec.name!r} was made by another process just now; run the same again"
            ) from error


def _refuse_other_trials(search: OpenStudy, spec: StudySpec, loaded: LoadedCode) -> None:
    obstacles = search.spec.obstacles(spec) + changed_code(spec, loaded, search.code)
    if obstacles:
        raise StudyError(
            f"study {search.name!r} cannot be extended by this file, its trials would differ: "
            f"{'; '.join(obstacles)}. Use `lrsearch run FILE --name` to start another study; with "
            f"`warm_start: [{search.name}]` it learns from this one"
        )


def _hold(connection: Connection, search: OpenStudy, spec: StudySpec) -> StudyRecord:
    """The old study's row, in which nothing starts until the transaction ends."""
    row = studies.by_id(connection, search.study_id)
    if row is not None:
        row = studies.lock(connection, search.study_id)
    if row is None or row.name != search.name:
        now = "deleted" if row is None else f"extended, and is {row.name!r} now"
        raise StudyError(f"study {search.name!r} was {now}: another process was quicker")
    if spec.name != search.name and studies.by_name(connection, spec.name) is not None:
        raise StudyError(
            f"study {spec.name!r} exists already; a file that names {search.name!r} extends that "
            f"study, one with a new name makes a study beside it"
        )
    return row
