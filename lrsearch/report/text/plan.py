"""The plan before a study: what it will cost and what that is spent on, in words and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from lrsearch.advice.cost import CostPlan
from lrsearch.advice.outlook import planned_outlook
from lrsearch.advice.shares import Confirming, Shares, shares
from lrsearch.catalog.script import SCRIPT
from lrsearch.plain_data import Document
from lrsearch.report.text.format import amount, counted, duration, length_unit, percent
from lrsearch.report.text.outlook import outlook_sentence
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.validation_plan import ValidationShare

STOPPED = "stopped at rungs where others do better"
_ONE = {"epochs": "an epoch", "steps": "a step", "runs": "a run"}


def plan_text(spec: StudySpec, plan: CostPlan, *, seconds_per_epoch: float | None = None) -> str:
    """What the study will train at most, in epochs, and in hours where an epoch was timed.

    Then in which order, and how much of it.
    """
    space, unit = spec.space, length_unit(spec)
    length = f"{amount(plan.horizon)} {unit}" if spec.knows_length else "unknown length"
    trials = "trials" if plan.trials is None else counted(plan.trials, "trial")
    if plan.trials is None and plan.expected_trials is not None:
        trials = f"about {counted(plan.expected_trials, 'trial')}"
    found = shares(plan)
    pruned = " (pruning makes it less)" if found.reached and not found.stages else ""
    lines = [
        f"study {spec.name}: {trials} of {length} over {_searched(space)}",
        f"plan: at most {_amount(plan.search, unit)} of search{pruned}, "
        f"{_amount(plan.confirm, unit)} of confirmation, {_range_test(plan)}",
    ]
    if plan.most_epochs is not None:
        lines[1] += f"; never more than {_amount(plan.most_epochs, unit)} together"
        if plan.runs is not None and spec.knows_length:
            lines[1] += f", those of {counted(plan.runs, 'full run')}"
    lines += _order(found, unit)
    if seconds_per_epoch is not None:
        line = f"time: {seconds_per_epoch:.3g} s {_ONE[unit]} on one worker"
        if plan.total is not None:
            line += f", at most {duration(plan.total * seconds_per_epoch)} of training in all"
        lines.append(line)
    expected = planned_outlook(spec, found)
    if expected is not None:
        lines.append(f"outlook: {outlook_sentence(expected)}")
    return "\n".join(lines)


def memory_text(estimated_bytes: int, most_at_once: int | None) -> str:
    """What a trial beside others takes of the memory, and how many fit in it now."""
    line = f"memory: about {estimated_bytes / 1e6:.3g} MB for each trial that trains beside others"
    line += ", estimated from the parameters and from what one step keeps"
    if most_at_once is None:
        return f"{line}; the memory that is free here is not known"
    return f"{line}; {counted(most_at_once, 'trial')} at once fit in the memory that is free now"


def _order(found: Shares, unit: str) -> Iterator[str]:
    """What is trained first, then and last."""
    known, drawn = found.epochs.known, found.epochs.exploration
    if found.own or found.portfolio:
        yield f"first: {_known(found)}{_about(known, unit)}"
    if found.sampled != 0:
        some = "recipes" if found.sampled is None else f"about {counted(found.sampled, 'recipe')}"
        yield f"then: {some} that the sampler draws{_about(drawn, unit)}"
    if len(found.stages) > 1:
        yield f"rungs: {stages_text(found)}"
    elif found.reached:
        begun, *later, complete = found.reached
        told = [f"{each.trials} reach {_percent(each.fraction)}" for each in later]
        ends = f"{complete.trials} {'' if told else 'reach '}the end of a run"
        yield f"rungs: of about {begun.trials} trials {', '.join([*told, ends])}"
    if found.unplanned:
        yield f"rungs: trials do not wait for each other: {found.unplanned}"
    yield f"last: {_confirming(found.confirming)}"


def _known(found: Shares) -> str:
    """The recipes that are known before the search, and whether rungs may stop them."""
    own = counted(found.own, "recipe") + " of your own"
    portfolio = counted(found.portfolio, "recipe") + " of the portfolio"
    ends = "to the end" if found.whole else STOPPED
    if not found.portfolio or not found.own:
        is_told = found.portfolio or not found.stages
        names = portfolio if found.portfolio else own
        return f"{names}, {ends}" if is_told else names
    # In a planned search your own wait at rungs, but a baseline.
    return f"{own}, {portfolio} {ends}" if found.stages else f"{own} and {portfolio}, {ends}"


def stages_text(found: Shares) -> str:
    """`about 29 trials wait at 4 %; the best 16 go on to 11 %, 5 to 33 %, 3 to the end`."""
    begun, *later, complete = found.stages
    drawn = "other trials" if found.own else "sampled trials"
    some = drawn if found.whole and found.portfolio else "trials"
    goals = [f"{each.trials} go on to {_percent(each.fraction)}" for each in later[:1]]
    goals += [f"{each.trials} to {_percent(each.fraction)}" for each in later[1:]]
    goals.append(f"{complete.trials} {'' if goals else 'go on '}to the end")
    wait = f"about {begun.trials} {some} wait at {_percent(begun.fraction)}"
    return f"{wait}; the best {', '.join(goals)}"


def _percent(fraction: float) -> str:
    return f"{percent(fraction)} %"


def _about(epochs: float | None, unit: str) -> str:
    return "" if epochs is None else f", about {amount(epochs)} {unit}"


def _confirming(found: Confirming) -> str:
    if not found.runs:
        return "no run with a fresh seed, so nothing is confirmed"
    runs = f"{counted(found.runs, 'run')} with fresh seeds"
    if not found.choose:
        return f"{runs} of the search's best"
    return f"{runs}: {found.choose} choose among {found.among} recipes, {found.report} report"


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
    spec: StudySpec,
    plan: CostPlan,
    warnings: Sequence[str],
    seconds_per_epoch: float | None,
    share: ValidationShare | None,
) -> Document:
    """The plan for machines; None is unknown or unbounded."""
    total = plan.total
    hours = None
    if seconds_per_epoch is not None and total is not None:
        hours = total * seconds_per_epoch / 3600
    found = shares(plan)
    expected = planned_outlook(spec, found)
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
        "plan": asdict(found),
        "validation": None if share is None else {**asdict(share), **_samples(spec)},
        "outlook": None if expected is None else asdict(expected),
        "seconds_per_epoch": seconds_per_epoch,
        "hours": hours,
        "warnings": list(warnings),
    }


def _samples(spec: StudySpec) -> Document:
    """What trials are compared on at rungs that no epoch ends near; None: the whole set."""
    part = None if spec.pruning is None else spec.pruning.part
    return {
        "rung_samples": None if part is None else part.count,
        "samples": None if part is None else part.of,
    }


def _amount(value: float | None, unit: str) -> str:
    return f"any number of {unit}" if value is None else f"{amount(value)} {unit}"
