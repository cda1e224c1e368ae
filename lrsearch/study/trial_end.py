"""How a trial's end stands in both halves of a study: pure functions of how its training ended."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import TrialState as OptunaState

from lrsearch.spec.parts import Objective
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import best_validation, objective_value
from lrsearch.storage.ends import TrialEnd
from lrsearch.study.assignment import Outcome
from lrsearch.study.optuna.encoding import START_VIOLATION, worst
from lrsearch.trial.curve import Validation
from lrsearch.trial.divergence import divergence_limit
from lrsearch.trial.states import TrialState


def our_end(outcome: Outcome, rows: Sequence[Validation], spec: StudySpec) -> TrialEnd:
    """What our row of the trial says; `rows` are its curve."""
    has_value = outcome.state in (TrialState.COMPLETE, TrialState.PRUNED)
    best = best_validation(rows, spec) if has_value else None
    return TrialEnd(
        state=outcome.state,
        reason=outcome.reason,
        epochs=outcome.epochs,
        seconds=outcome.seconds,
        value=None if best is None else objective_value(best, spec),
        best_validation=None if best is None else best.validation,
        metrics=None if best is None else best.metrics,
    )


def optunas_end(
    outcome: Outcome, value: float | None, objective: Objective
) -> tuple[OptunaState, Mapping[str, Any]]:
    """Optuna's state, and the rest of what `optuna_rows.end_trial` takes.

    What diverged or ran out of memory is pruned there, with a finite bad report and a constraint
    above 0: the earlier it ended, the further it was beyond the edge.
    """
    if outcome.state == TrialState.DIVERGED or outcome.reason == "oom":
        bad = _bad_value(outcome, objective)
        violation = START_VIOLATION - outcome.progress
        return OptunaState.PRUNED, {"value": None, "violation": violation, "bad": bad}
    if outcome.state == TrialState.COMPLETE and value is not None:
        return OptunaState.COMPLETE, {"value": value, "violation": 0.0}
    state = OptunaState.PRUNED if outcome.state == TrialState.PRUNED else OptunaState.FAIL
    return state, {"value": None, "violation": 0.0}


def _bad_value(outcome: Outcome, objective: Objective) -> float:
    bad = worst(objective)
    if objective.metric != "val_loss" or objective.direction == "maximize":
        return bad
    limit = divergence_limit(outcome.start_loss)
    return limit if math.isfinite(limit) else bad
