"""A study as it is stored, for whatever reads it; neither Optuna nor torch is loaded for it."""

from collections.abc import Mapping
from typing import Self

from sqlalchemy import Connection

from lrsearch.confirmation.budget import asks_for_plan, is_planned, reserved_share
from lrsearch.errors import StudyError, near_miss
from lrsearch.plain_data import Fields
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import studies, tickets
from lrsearch.storage.database import Database, explained
from lrsearch.storage.records import StudyRecord
from lrsearch.study.planned_search import PlannedSearch


class StoredStudy:
    """A study of a database. `study.open_study.OpenStudy` adds asking for trials and ending them.

    `record` is the study's row when it was opened: what changes while workers train (the budget's
    counters, the state) is to be read again with `storage.studies.by_id`.
    """

    def __init__(self, database: Database, record: StudyRecord) -> None:
        self.database = database
        self.record = record
        #: The study file as a value.
        self.spec = StudySpec.from_stored(record.definition)

    @classmethod
    def open(cls, database: Database, name: str) -> Self:
        """Raises StudyError with the near miss if there is no study of this name."""
        with explained(database), database.read() as connection:
            record = studies.by_name(connection, name)
            known = [] if record else [study.name for study in studies.everything(connection)]
        if record is None:
            hint = near_miss(name, known) if known else "; there are none yet"
            late = "; a new one may not have arrived yet" if database.location.reads_only else ""
            raise StudyError(f"no study {name!r} in {database.location}{hint}{late}")
        return cls(database, record)

    @property
    def study_id(self) -> int:
        """Optuna's id of the study, which is ours as well."""
        return self.record.study_id

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def code(self) -> Mapping[str, str]:
        """Task file to SHA-256."""
        return self.record.code

    @property
    def versions(self) -> Mapping[str, str]:
        """Of lrsearch, torch and Optuna where the study was created."""
        return self.record.versions

    @property
    def origin(self) -> Fields | None:
        """What it took over when it was created; None if nothing."""
        return self.record.origin

    @property
    def known(self) -> int:
        """How many trials of other studies its sampler was given.

        They come first in Optuna, and have no number here.
        """
        return int(self.origin["known"]) if self.origin else 0

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return self.record.steps_per_epoch

    @property
    def horizon(self) -> float:
        """Epochs of a full trial."""
        return self.spec.horizon_epochs(self.steps_per_epoch)

    def horizon_of(self, recipe: Fields | None) -> float:
        """Epochs of a trial of this recipe; those of a ladder have horizons of their own."""
        if self.spec.ladder is None or recipe is None:
            return self.horizon
        epochs: float | None = recipe.get("epochs")
        return epochs or (recipe.get("steps") or 0) / self.steps_per_epoch

    def next_horizon(self, connection: Connection) -> float:
        """Epochs of the trial that is started next; those that wait in a ladder have the same."""
        if self.spec.ladder is None:
            return self.horizon
        waiting = studies.waiting(connection, self.study_id)
        return self.horizon_of(waiting[0].recipe) if waiting else 0.0

    @property
    def reserved_share(self) -> float:
        """Share of the budget's epochs that is kept for confirmation."""
        return reserved_share(self.spec, self.horizon)

    def planned(self, connection: Connection) -> PlannedSearch | None:
        """Its search by a plan; None where rungs decide one by one, or the study was deleted."""
        if not self.asks_for_plan:
            return None
        return self.planned_for(connection, studies.epochs_total(connection, self.study_id))

    def planned_for(
        self, connection: Connection, epochs_total: float | None
    ) -> PlannedSearch | None:
        """The same for who has just read the budget's epochs."""
        if not self.asks_for_plan:
            return None
        row: StudyRecord | None = self.record
        if epochs_total != self.record.epochs_total:
            row = studies.by_id(connection, self.study_id)
        return None if row is None else PlannedSearch.of(connection, row, self.spec)

    @property
    def asks_for_plan(self) -> bool:
        """Whether it has a plan if it can; its budget may be too small for one."""
        return asks_for_plan(self.spec)

    @property
    def is_planned(self) -> bool:
        """Whether trials wait at rungs, as far as this process knows its budget."""
        return is_planned(self.spec, self.horizon)

    def may_start(self, connection: Connection) -> bool:
        """Whether the study is open, and its budget has another trial or lets one go on."""
        planned = self.planned(connection)
        if planned is not None:
            return planned.may_claim(connection)
        horizon, keep = self.next_horizon(connection), self.reserved_share
        return tickets.may_start(connection, self.study_id, horizon=horizon, keep=keep)
