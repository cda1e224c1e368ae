"""Confirmation: the best recipes re-run with fresh seeds; some seeds choose, others report.

The best of a study is 11-34 % better on its one seed than on average (measured on 2,450 recorded
runs). So the best few are re-run on seeds the search never used; the winner of those runs is then
run on further seeds that had no part in choosing it, and only those give the reported mean.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from lrsearch.confirmation import lr_tolerance
from lrsearch.confirmation import plan as confirmation_plan
from lrsearch.confirmation.budget import MOST_RUNS, allowed_runs
from lrsearch.confirmation.candidates import Candidate, ranked
from lrsearch.confirmation.lr_tolerance import LrTrial
from lrsearch.confirmation.plan import Setting
from lrsearch.confirmation.recommendation import summary
from lrsearch.confirmation.statistics import pooled_spread
from lrsearch.errors import StudyError
from lrsearch.spec.parts import Confirm
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import confirmations, curves, studies, trials
from lrsearch.storage.rows import Row
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial import states as trial_states
from lrsearch.trial.rounding import floor
from lrsearch.trial.states import StudyState, TrialState

#: Trials, by their own value, whose curves are looked at for candidates.
LOOKED_AT = 50
#: A learning rate does well where the best value is within so many standard deviations of a seed
#: of the study's best.
BASIN_SPREADS = 2.0


def next_round(
    connection: Connection, search: StoredStudy, study: Row, *, has_test: bool = False
) -> list[dict[str, Any]]:
    """The runs that are due now: those that choose, then those that report, then the test's.

    None are due while a search trial or an earlier run is still to end. `has_test` is whether the
    task has a test set; it is not asked for once the runs that report are there.
    """
    runs = confirmations.everything(connection, search.study_id)
    waiting = any(run["state"] in trial_states.OPEN for run in runs)
    paused = study["state"] == StudyState.PAUSED
    if waiting or paused or trials.any_running(connection, search.study_id):
        return []
    spec = StudySpec.from_stored(study["definition"])
    if spec.confirm is None:
        return []
    if any(run["round"] == confirmation_plan.REPORT for run in runs):
        if not confirmation_plan.test_is_due(runs):
            return []
        found = _summary(connection, search, spec, runs)
        return confirmation_plan.run_for_test(runs, found[0]["trial"] if found else None)
    setting = _setting(connection, search, study, spec, runs, has_test=has_test)
    if setting.runs == 0:
        return []
    first = [] if runs else _candidates(connection, search, spec, setting)
    return confirmation_plan.next_runs(setting, first, runs)


def advance(search: StoredStudy, *, has_test: bool = False) -> bool:
    """Plan the next round if the search is over; one process at a time. Whether there was one."""

    def plan(connection: Connection) -> bool:
        # Idle workers ask this all the time: only one that sees a round holds the others up.
        study = studies.by_id(connection, search.study_id)
        if study is None or search.may_start(connection):
            return False
        if not next_round(connection, search, study, has_test=has_test):
            return False
        study = studies.lock(connection, search.study_id)
        if search.may_start(connection):
            return False
        planned = next_round(connection, search, study, has_test=has_test)
        if planned:
            confirmations.add(connection, search.study_id, planned)
        return bool(planned)

    return search.database.run(plan)


def _candidates(
    connection: Connection, search: StoredStudy, spec: StudySpec, setting: Setting
) -> list[int]:
    """Trials by number, the best smoothed score first; pruned ones among them.

    None where no trial is complete: such a study has no answer.

    Where nothing chooses between them it is the search's best: resampled from 20 recipes on digits,
    the first by score lost 1.1 % (0.7) more than the first by value, the first five 0.7 % (0.25)
    less on average.
    """
    minimize = setting.minimize
    best = trials.ranked(connection, search.study_id, minimize=minimize, limit=1)
    if not best or not setting.shape.rounds:
        return [row["number"] for row in best]
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    rows = trials.ranked(
        connection, search.study_id, minimize=minimize, limit=LOOKED_AT, states=states
    )
    lines = curves.of_trials(connection, [row["id"] for row in rows])
    found = [
        Candidate(number=row["number"], value=row["value"], rows=lines[row["id"]]) for row in rows
    ]
    return ranked(found, spec)


def _setting(
    connection: Connection,
    search: StoredStudy,
    study: Row,
    spec: StudySpec,
    runs: Sequence[Row],
    *,
    has_test: bool,
) -> Setting:
    """The same shape in all rounds: epochs that earlier ones have used count as left."""
    assert spec.confirm is not None
    left = None
    if study["epochs_total"] is not None:
        own = sum(run["epochs"] for run in runs)
        left = study["epochs_total"] - study["epochs_used"] + own
    allowed = allowed_runs(
        spec,
        started=study["trials_used"],
        epochs_left=left,
        horizon=spec.horizon_epochs(search.steps_per_epoch),
    )
    baseline = trials.baseline(connection, search.study_id)
    return Setting(
        runs=min(spec.confirm.runs or MOST_RUNS, allowed),
        top=spec.confirm.candidates,
        baseline=baseline["number"] if baseline else None,
        has_test=has_test,
        tolerance=spec.tolerance,
        minimize=spec.objective.direction == "minimize",
        first_seed=spec.seed + 1,
    )


def confirmed(search: StoredStudy) -> list[dict[str, Any]]:
    """The study's confirmed recipes, see `confirm_summary.summary`; empty until they are."""
    with search.database.read() as connection:
        runs = confirmations.everything(connection, search.study_id)
        if not any(run["round"] == confirmation_plan.REPORT for run in runs):
            return []
        study = studies.by_id(connection, search.study_id)
        assert study is not None
        spec = StudySpec.from_stored(study["definition"])
        return _summary(connection, search, spec, runs)


def _summary(
    connection: Connection, search: StoredStudy, spec: StudySpec, runs: Sequence[Row]
) -> list[dict[str, Any]]:
    rows = trials.everything(connection, search.study_id)
    by_number = {row["number"]: row for row in rows if row["number"] is not None}
    return summary(runs, by_number, spec, _basins(runs, by_number, spec))


def _basins(
    runs: Sequence[Row], by_number: Mapping[int, Row], spec: StudySpec
) -> dict[int, float | None]:
    """Of each trial with runs that report, how wide the learning rates around it do well."""
    reported = [run for run in runs if run["round"] == confirmation_plan.REPORT]
    values: dict[int, list[float]] = {}
    for run in runs:
        if run["value"] is not None:
            values.setdefault(run["number"], []).append(run["value"])
    known = [row for row in by_number.values() if row["recipe"] and row["ended_at"] is not None]
    losses = {row["number"]: _final_loss(row, spec) for row in known}
    best = min((loss for loss in losses.values() if loss is not None), default=None)
    if best is None:
        return {}
    within = max(spec.tolerance, BASIN_SPREADS * (pooled_spread(list(values.values())) or 0.0))
    basins: dict[int, float | None] = {}
    for number in dict.fromkeys(run["number"] for run in reported):
        optimizer = by_number[number]["recipe"]["optimizer"]
        mine = [
            LrTrial(lr=row["recipe"]["optimizer"]["lr"], loss=losses[row["number"]])
            for row in known
            if row["recipe"]["optimizer"]["name"] == optimizer["name"]
        ]
        basins[number] = lr_tolerance.width(optimizer["lr"], mine, best + within)
    return basins


def _final_loss(row: Row, spec: StudySpec) -> float | None:
    """What a trial reached at its end; None for one that did not get there."""
    if row["state"] != TrialState.COMPLETE or row["value"] is None:
        return None
    return spec.objective.loss(row["value"])


def request(search: StoredStudy, *, top: int | None, runs: int | None) -> None:
    """Ask for a confirmation of this size; one that differs from the last is planned anew.

    Raises StudyError when nothing can be confirmed, or `runs` is beyond the study's share or what
    is left of its epochs: the runs that there are stay as they are then.
    """
    with search.database.begin() as connection:
        confirmations.lock(connection, search.study_id)
        study = studies.lock(connection, search.study_id)
        spec = StudySpec.from_stored(study["definition"])
        counts = studies.counts(connection, search.study_id)
        if not counts[TrialState.COMPLETE]:
            raise StudyError(f"study {search.name!r} has no complete trial to confirm yet")
        most = allowed_runs(
            spec,
            started=sum(counts.values()),
            epochs_left=None,
            horizon=spec.horizon_epochs(search.steps_per_epoch),
        )
        if (runs or 1) > most:
            raise StudyError(
                f"--runs {runs or 1} is beyond a quarter of the study's trials; at most {most}"
            )
        old = spec.confirm or Confirm()
        new = Confirm(candidates=top or old.candidates, runs=runs or old.runs)
        if new != spec.confirm:
            fit = _runs_left(study, spec.horizon_epochs(search.steps_per_epoch))
            if (runs or 1) > fit:
                raise StudyError(
                    f"--runs {runs or 1}: what is left of the budget's epochs is enough for {fit}"
                )
            confirmations.clear(connection, search.study_id)
            definition = spec.model_copy(update={"confirm": new}).to_dict()
            studies.change(connection, search.study_id, definition=definition)


def _runs_left(study: Row, horizon: float) -> float:
    """How many more runs the study's epochs pay for; those used by runs before do not come back."""
    if study["epochs_total"] is None:
        return math.inf
    left: float = study["epochs_total"] - study["epochs_used"]
    return floor(left / horizon)
