"""How a trial's end stands in Optuna: a pure function of how its training ended."""

import math

from optuna.trial import TrialState as OptunaState

from lrsearch.spec.parts import Objective
from lrsearch.study.assignment import Outcome
from lrsearch.study.optuna.attributes import START_VIOLATION
from lrsearch.study.optuna.encoding import worst
from lrsearch.study.optuna.writer import OptunaEnd
from lrsearch.trial.divergence import divergence_limit
from lrsearch.trial.states import TrialState


def optunas_end(outcome: Outcome, value: float | None, objective: Objective) -> OptunaEnd:
    """The end of a trial whose value is `value`.

    What diverged or ran out of memory is pruned there, with a finite bad report and a constraint
    above 0: the earlier it ended, the further it was beyond the edge.
    """
    if outcome.state == TrialState.DIVERGED or outcome.reason == "oom":
        violation = START_VIOLATION - outcome.progress
        bad = _bad_value(outcome, objective)
        return OptunaEnd(state=OptunaState.PRUNED, violation=violation, bad=bad)
    if outcome.state == TrialState.COMPLETE and value is not None:
        return OptunaEnd(state=OptunaState.COMPLETE, value=value)
    pruned = outcome.state == TrialState.PRUNED
    return OptunaEnd(state=OptunaState.PRUNED if pruned else OptunaState.FAIL)


def _bad_value(outcome: Outcome, objective: Objective) -> float:
    bad = worst(objective)
    if objective.metric != "val_loss" or objective.direction == "maximize":
        return bad
    limit = divergence_limit(outcome.start_loss)
    return limit if math.isfinite(limit) else bad
