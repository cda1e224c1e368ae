"""A study's trials, read by Optuna's own storage: all of them at each look."""

from collections.abc import Mapping

from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection, select

from lrsearch.storage.tables import trials as ours
from lrsearch.study.optuna import history
from lrsearch.study.optuna.history import TELLING, News, Place, best_places
from lrsearch.study.optuna.public.joined_storage import JoinedStorage
from lrsearch.study.optuna.sampler_units import units_of
from lrsearch.study.optuna.seen_trial import SeenTrial
from lrsearch.trial.states import TrialState


class StorageHistory:
    """`HistoryReader` by Optuna's public API."""

    def __init__(self, study_id: int, *, minimize: bool, known: int) -> None:
        self._study_id = study_id
        self._minimize = minimize
        self._known = known

    def read_first(self, connection: Connection) -> News:
        return self.read_since(connection, Place())

    def read_since(self, connection: Connection, place: Place) -> News:
        """All that there is, within the cap: what Optuna's storage reads is read anew."""
        c = ours.c
        rows = connection.execute(
            select(c.number, c.trial_id, c.ended, c.state).where(
                c.study_id == self._study_id, c.trial_id.is_not(None)
            )
        ).all()
        try:
            found = JoinedStorage(connection).get_all_trials(self._study_id, deepcopy=False)
        except KeyError:  # Optuna's word for a study that was deleted
            return News(ended={}, open=[], over=(), place=place)
        known = self._known
        ids = {known + row.number: row.trial_id for row in rows}
        places = {known + row.number: row.ended for row in rows}
        places |= {number: number + 1 - known for number in range(known)}
        places = {number: at for number, at in places.items() if number < len(found)}
        waiting = {known + row.number for row in rows if row.state == TrialState.WAITING}
        seen = {
            trial.number: seen_trial(trial, ids.get(trial.number, 0), waits=trial.number in waiting)
            for trial in found
        }
        ended = {
            at: seen[number]
            for number, at in places.items()
            if at is not None and seen[number].state in TELLING
        }
        left = [seen[number] for number, at in places.items() if at is None and number in seen]
        over = [ids[number] for number, at in places.items() if at is not None and number in ids]
        last = max((at for at in places.values() if at is not None), default=place.ended)
        ended = self._capped(ended, last)
        return News(ended=ended, open=left, over=over, place=Place(ended=last))

    def _capped(self, ended: Mapping[int, SeenTrial], last: int) -> dict[int, SeenTrial]:
        complete = (
            (trial.value, place)
            for place, trial in ended.items()
            if trial.state == OptunaState.COMPLETE and trial.value is not None
        )
        best = best_places(complete, minimize=self._minimize)
        oldest = last - history.LATEST
        return {p: trial for p, trial in ended.items() if p > oldest or p in best}


def seen_trial(trial: FrozenTrial, optuna_id: int, *, waits: bool = False) -> SeenTrial:
    """A stored trial as the sampler sees it, in its units; one that waits is as if pruned."""
    pruned = waits or trial.state == OptunaState.PRUNED
    reports = sorted(trial.intermediate_values.items())[-1:] if pruned else []
    violations = list(trial.constraints.values())[:1] if pruned else []
    seen = SeenTrial(
        optuna_id=optuna_id,
        optuna_number=trial.number,
        state=OptunaState.PRUNED if waits else trial.state,
        value=trial.value,
        reports=dict(reports),
        violation=next(iter(violations), 0.0),
    )
    units = units_of(trial)
    for name, distribution in trial.distributions.items():
        unit = units.get(name)
        if unit is not None:
            seen.add(unit.name, unit.number, unit.distribution)
        else:
            seen.add(name, distribution.to_internal_repr(trial.params[name]), distribution)
    return seen
