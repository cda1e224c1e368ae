"""How a trial's end stands in our rows: a pure function of how its training ended."""

import math
from collections.abc import Sequence

from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import best_validation, objective_value
from lrsearch.storage.ends import TrialEnd
from lrsearch.study.assignment import Outcome
from lrsearch.transfer.batch import noise_scale
from lrsearch.trial.curve import Validation
from lrsearch.trial.divergence import NOT_FINITE_AT_START
from lrsearch.trial.states import TrialState


def our_end(outcome: Outcome, rows: Sequence[Validation], spec: StudySpec) -> TrialEnd:
    """What our row of the trial says; `rows` are its curve.

    A trial whose objective was never finite has failed: it is worth nothing to anyone. One that
    diverged with a loss that was not finite from its first batch on says that it began so.
    """
    has_value = outcome.state in (TrialState.COMPLETE, TrialState.PRUNED)
    best = best_validation(rows, spec) if has_value else None
    state, reason = outcome.state, outcome.reason
    if has_value and best is None and (rows or state == TrialState.COMPLETE):
        state, reason = TrialState.FAILED, _without_value(rows, spec)
    if state == TrialState.DIVERGED and not math.isfinite(outcome.start_loss):
        reason = NOT_FINITE_AT_START
    return TrialEnd(
        state=state,
        reason=reason,
        epochs=outcome.epochs,
        seconds=outcome.seconds,
        value=None if best is None else objective_value(best, spec),
        best_validation=None if best is None else best.validation,
        metrics=None if best is None else {**best.metrics, **noise_scale(rows)},
    )


def _without_value(rows: Sequence[Validation], spec: StudySpec) -> str:
    """Why there is no value."""
    metric = spec.objective.metric
    looked = "its last validation" if spec.objective.at == "last" else "each of its validations"
    if not rows:
        return f"the objective {metric} was never measured: the trial had no validation"
    return (
        f"the objective {metric} was NaN, infinite or missing at {looked} (the last: validation "
        f"{rows[-1].validation}); check the metric on a few outputs"
    )
