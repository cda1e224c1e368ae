"""Optuna's studies and trials, written by its own storage."""

from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection, select

from lrsearch.plain_data import Fields
from lrsearch.storage.postgresql_trials import Beside, NewTrials
from lrsearch.storage.tables import trials as ours
from lrsearch.study.optuna.attributes import CONSTRAINTS, RECIPE, TICKET
from lrsearch.study.optuna.public.joined_storage import JoinedStorage
from lrsearch.study.optuna.sampler_units import Encoding
from lrsearch.study.optuna.writer import OptunaEnd
from lrsearch.trial.states import OPEN, TrialState


class StorageWriter:
    """`OptunaWriter` by Optuna's public API."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._storage = JoinedStorage(connection)

    def insert_study(self, name: str, direction: str) -> int:
        return self._storage.create_new_study([StudyDirection[direction.upper()]], name)

    def delete_study(self, study_id: int) -> None:
        self._storage.delete_study(study_id)

    def count_trials(self, study_id: int) -> int:
        return self._storage.get_n_trials(study_id)

    def insert_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[int]:
        return [self._storage.create_new_trial(study_id, trial) for trial in trials]

    def start_trial(self, study_id: int, ticket: int) -> tuple[int, int]:
        trial_id = self._storage.create_new_trial(study_id)
        self._storage.set_trial_user_attr(trial_id, TICKET, ticket)
        return trial_id, self._storage.get_trial_number_from_id(trial_id)

    def add_recipe(self, trial_id: int, recipe: Fields, encoding: Encoding) -> None:
        known = self._storage.get_trial(trial_id).params
        for name, distribution in encoding.distributions.items():
            if name not in known:
                number = distribution.to_internal_repr(encoding.params[name])
                self._storage.set_trial_param(trial_id, name, number, distribution)
        self._storage.set_trial_user_attr(trial_id, RECIPE, recipe)
        for key, value in encoding.attributes().items():
            self._storage.set_trial_system_attr(trial_id, key, value)

    def new_trials(self) -> NewTrials | None:
        return None

    def recipe_rows(self, trial_id: int, recipe: Fields, encoding: Encoding) -> Beside | None:
        return None

    def report(self, trial_id: int, step: int, value: float) -> None:
        self._storage.set_trial_intermediate_value(trial_id, step, value)

    def report_row(self, trial_id: int, step: int, value: float) -> Beside | None:
        return None

    def end_trial(self, trial_id: int, end: OptunaEnd) -> None:
        self._storage.set_trial_system_attr(trial_id, CONSTRAINTS, [end.violation])
        reports = self._storage.get_trial(trial_id).intermediate_values
        if end.bad is not None:
            step = 1 + max(reports, default=0)
            self._storage.set_trial_intermediate_value(trial_id, step, end.bad)
            reports[step] = end.bad
        value = end.value
        if value is None and end.state == OptunaState.PRUNED and reports:
            value = reports[max(reports)]
        values = None if value is None else [value]
        self._storage.set_trial_state_values(trial_id, end.state, values)

    def end_rows(self, trial_id: int, end: OptunaEnd) -> Beside | None:
        return None

    def differing(self, study_id: int) -> list[int]:
        c = ours.c
        rows = self._connection.execute(
            select(c.trial_id, c.number, c.state, c.value)
            .where(c.study_id == study_id, c.trial_id.is_not(None))
            .order_by(c.number)
        ).all()
        states = {
            self._storage.get_trial_id_from_study_id_trial_number(study_id, trial.number): (
                trial.state
            )
            for trial in self._storage.get_all_trials(study_id, deepcopy=False)
        }
        return [
            row.number
            for row in rows
            if row.trial_id in states
            and states[row.trial_id] not in _agreeing(row.state, has_value=row.value is not None)
        ]


def _agreeing(state: str, *, has_value: bool) -> tuple[OptunaState, ...]:
    """Optuna's states that a trial of ours in this state may have."""
    if state in OPEN:
        return (OptunaState.RUNNING,)
    if state == TrialState.COMPLETE and has_value:
        return (OptunaState.COMPLETE,)
    return (OptunaState.PRUNED, OptunaState.FAIL)
