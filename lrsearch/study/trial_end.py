"""How a trial's end stands in our rows: a pure function of how its training ended."""

from collections.abc import Sequence

from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import best_validation, objective_value
from lrsearch.storage.ends import TrialEnd
from lrsearch.study.assignment import Outcome
from lrsearch.trial.curve import Validation
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
