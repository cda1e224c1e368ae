"""What a confirmation says of the recommended recipe, a sentence each."""

from collections.abc import Iterator, Mapping

from lrsearch.confirmation.confirmed import Confirmed, Optimism, RunnerUp
from lrsearch.confirmation.runs import REPORT
from lrsearch.report.text.format import counted, number, signed
from lrsearch.spec.parts import Objective


def sentences(first: Confirmed, objective: Objective) -> Iterator[str]:
    """Why it is recommended, how it compares, how sure its learning rate is, and its test score."""
    reasons = first.reasons
    if reasons is None:
        return
    yield f"Recommended: {reasons.why}."
    if reasons.runner_up is not None:
        yield _compared(reasons.runner_up, objective)
    if first.basin:
        yield (
            f"Learning rates around it over a factor of {number(10**first.basin, 2)} are not shown "
            f"to do worse: what they differ by is within the noise of a seed."
        )
    if reasons.test:
        yield f"On the test set, in one more run: {_scores(reasons.test)}."


def promised(optimism: Optimism | None) -> str:
    """How the value of the search compares with the mean: the end of a sentence, or nothing."""
    if optimism is None or optimism.percent is None:
        return ""
    size = f"{abs(optimism.percent):.0f}"
    if size == "0":
        return ", within 1 % of its mean on fresh seeds"
    return (
        f", {size} % {'better' if optimism.percent > 0 else 'worse'} than its mean on fresh seeds"
    )


def _compared(runner_up: RunnerUp, objective: Objective) -> str:
    name = f"The runner-up, trial {runner_up.trial},"
    found = runner_up.difference
    if found is None:
        return f"{name} has no seed in common with it."
    on_fresh = runner_up.round == REPORT
    seeds = counted(found.n, "fresh seed" if on_fresh else "seed")
    seeds += "" if on_fresh else " used to choose"
    parts = []
    if found.ci95 is not None:
        parts.append(f"95 % interval {' to '.join(signed(end) for end in found.ci95)}")
    if found.p is not None:
        parts.append(f"Wilcoxon p = {found.p:.2g}")
    within = f" ({'; '.join(parts)})" if parts else ""
    by = f"Its {objective.metric} differs by {signed(found.mean)}{within} on {seeds}"
    if runner_up.tied:
        does = "does" if found.n == 1 else "do"
        return f"{name} is tied with it. {by}, which {does} not tell the two apart."
    verdict = "worse" if objective.loss(found.mean) > 0 else "better"
    return f"{name} is {verdict}. {by}."


def _scores(test: Mapping[str, float | None]) -> str:
    """`loss 0.31, accuracy 0.97`; metrics may stand in a mapping of their own."""
    flat: dict[str, float] = {}
    for name, value in test.items():
        known = value.items() if isinstance(value, Mapping) else [(name, value)]
        flat |= {key: each for key, each in known if isinstance(each, int | float)}
    return ", ".join(f"{name} {number(value)}" for name, value in flat.items())
