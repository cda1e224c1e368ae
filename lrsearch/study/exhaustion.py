"""When every recipe of a study's space has its trial: then its search is over."""

from collections.abc import Mapping
from typing import Protocol

from sqlalchemy import Connection

from lrsearch.errors import SpecError
from lrsearch.plain_data import Fields
from lrsearch.recipe.fingerprint import fingerprint
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import repeats, studies
from lrsearch.storage.database import Database
from lrsearch.study.optuna.sampler import Windows

#: Kinds of trials that the user asked for one by one: no space ever bound them.
GIVEN = ("baseline", "enqueued", "ladder", "noise")


class Drawing(Protocol):
    """A study whose trials are drawn."""

    windows: Windows

    @property
    def database(self) -> Database: ...
    @property
    def study_id(self) -> int: ...
    @property
    def spec(self) -> StudySpec: ...

    #: How many trials of earlier studies the sampler was given.
    @property
    def known(self) -> int: ...

    #: The recipes of its space by their fingerprints; None where they cannot be listed.
    @property
    def finite(self) -> Mapping[str, Fields] | None: ...

    def may_start(self, connection: Connection) -> bool:
        """Whether the study is open and its budget has another trial."""
        ...


def is_exhausted(connection: Connection, search: Drawing) -> bool:
    """Whether no recipe is left for another trial; the first time, that is recorded.

    A recipe that waits in the queue is always left. Trials whose recipe is still being drawn count
    as having one each, so of several workers as many start a trial as there are recipes. The
    study's row stays locked.
    """
    finite = search.finite
    if finite is None or not search.may_start(connection):
        return False
    studies.hold(connection, search.study_id)
    if studies.queued(connection, search.study_id):
        return False
    taken, drawing = repeats.with_undrawn(connection, search.study_id)
    left = len(finite.keys() - taken)
    if left > drawing:
        return False
    if not left and not drawing:
        repeats.exhausted(connection, search.study_id)
    return True


def mark_old_trials(database: Database, study_id: int, spec: StudySpec) -> None:
    """Give the trials of an earlier version their fingerprints, where they have a recipe of it."""
    marks: dict[int, str | None] = {}
    for row in database.look(lambda connection: repeats.unmarked(connection, study_id)):
        try:
            recipe = spec.recipe(row.recipe or {}, batch_size=None)
        except SpecError:  # a trial that was refused for that
            continue
        marks[row.id] = fingerprint(recipe.to_dict())
    if marks:
        database.run(lambda connection: repeats.mark(connection, marks))
