"""How much each field of the recipes matters: plain values, nothing drawn."""

import math
from dataclasses import dataclass

from lrsearch.advice.importance import Importance, importance
from lrsearch.report.model import Report
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class FieldImportance:
    """Of one field, over the trials that have it."""

    #: As the sampler calls it: `adamw.lr`, `sgd.1-momentum`, `warmup`.
    field: str
    found: Importance


def importances(report: Report) -> tuple[FieldImportance, ...]:
    """Of every searched field that enough sampled trials have, the most important first.

    A pruned trial is ranked by what it would typically have reached, and a diverged one last.
    Failed trials are left out, and so are recipes that lie outside of the space.
    """
    losses = {
        trial.trial: math.inf if trial.value is None else report.spec.objective.loss(trial.value)
        for trial in report.lr_trials
        if trial.state != TrialState.FAILED
    }
    columns: dict[str, tuple[list[float | str], list[float]]] = {}
    for trial in report.trials:
        if trial.number not in losses or not trial.recipe:
            continue
        for name, value in (report.spec.space.params_of(trial.recipe) or {}).items():
            values, lost = columns.setdefault(name, ([], []))
            number = isinstance(value, int | float) and not isinstance(value, bool)
            values.append(value if number else str(value))
            lost.append(losses[trial.number])
    found = [
        FieldImportance(field=name, found=each)
        for name, (values, lost) in columns.items()
        if (each := importance(values, lost)) is not None
    ]
    return tuple(sorted(found, key=lambda each: -each.found.divergence))
