"""The plan before a study: what it will cost, in words and as JSON."""

from collections.abc import Sequence

from lrsearch.advice.cost import CostPlan
from lrsearch.catalog.script import SCRIPT
from lrsearch.plain_data import Document
from lrsearch.report.text.format import amount, duration, length_unit
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.study_spec import StudySpec

_ONE = {"epochs": "an epoch", "steps": "a step", "runs": "a run"}


def plan_text(spec: StudySpec, plan: CostPlan, *, seconds_per_epoch: float | None = None) -> str:
    """What the study will train at most, in epochs, and in hours where an epoch was timed."""
    space, unit = spec.space, length_unit(spec)
    length = f"{amount(plan.horizon)} {unit}" if spec.knows_length else "unknown length"
    trials = "trials" if plan.trials is None else f"{plan.trials} trials"
    if plan.trials is None and plan.expected_trials is not None:
        trials = f"about {plan.expected_trials} trials"
    lines = [
        f"study {spec.name}: {trials} of {length} over {_searched(space)}",
        f"plan: at most {_amount(plan.search, unit)} of search (pruning makes it less), "
        f"{_amount(plan.confirm, unit)} of confirmation, {_range_test(plan)}",
    ]
    if plan.most_epochs is not None:
        lines[1] += f"; never more than {_amount(plan.most_epochs, unit)} together"
        if plan.runs is not None and spec.knows_length:
            lines[1] += f", those of {plan.runs} full runs"
    if seconds_per_epoch is not None:
        line = f"time: {seconds_per_epoch:.3g} s {_ONE[unit]} on one worker"
        if plan.total is not None:
            line += f", at most {duration(plan.total * seconds_per_epoch)} of training in all"
        lines.append(line)
    return "\n".join(lines)


def _searched(space: SearchSpace) -> str:
    """`adamw, sgd x cosine, linear`; of a script's own optimizer and schedule the fields."""
    kinds = [[n for n in names if n != SCRIPT] for names in (space.optimizers, space.schedules)]
    own = list(space.optimizers.get(SCRIPT, {}))
    return " x ".join(", ".join(names) for names in [own, *kinds, list(space.params)] if names)


def _range_test(plan: CostPlan) -> str:
    if plan.no_range_test:
        return f"no range test ({plan.no_range_test})"
    told = f"{_amount(plan.range_test, 'epochs')} of range test"
    if not plan.untested:
        return told
    return f"{told} (none of {', '.join(plan.untested)}: 3 % of the budget pay for no more)"


def plan_json(
    spec: StudySpec, plan: CostPlan, warnings: Sequence[str], seconds_per_epoch: float | None
) -> Document:
    """The plan for machines; None is unknown or unbounded."""
    total = plan.total
    hours = None
    if seconds_per_epoch is not None and total is not None:
        hours = total * seconds_per_epoch / 3600
    return {
        "name": spec.name,
        "trials": plan.trials,
        "horizon_epochs": plan.horizon,
        "epochs": {
            "range_test": plan.range_test,
            "search": plan.search,
            "confirm": plan.confirm,
            "total": total,
        },
        "seconds_per_epoch": seconds_per_epoch,
        "hours": hours,
        "warnings": list(warnings),
    }


def _amount(value: float | None, unit: str) -> str:
    return f"any number of {unit}" if value is None else f"{amount(value)} {unit}"
