"""A study's review in words: lines that the answer and the report share."""

from collections.abc import Mapping
from typing import Any


def audit_line(audit: Mapping[str, Any]) -> str | None:
    """How often pruning erred; None if no trial was audited."""
    if not audit["audited"]:
        return None
    pool = f" (in {audit['studies']} studies of the project)" if audit["studies"] > 1 else ""
    trials = "1 trial" if audit["audited"] == 1 else f"{audit['audited']} trials"
    stopped = f"Audit: of {trials} that pruning would have stopped{pool}"
    if audit["share"] is None:
        return (
            f"{stopped}, {audit['false']} ended among the best 5 %: too few to tell how often "
            f"pruning errs, {audit['least']} are needed."
        )
    return f"{stopped}, {audit['false']} ended among the best 5 %: {share_text(audit)}."


def share_text(rate: Mapping[str, Any]) -> str:
    """`8 % (95 %: 0 to 38 %)`."""
    low, high = rate["ci95"]
    return f"{_percent(rate['share'])} % (95 %: {_percent(low)} to {_percent(high)} %)"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.995 else "100"


def gain_line(advice: Mapping[str, Any], metric: str) -> str | None:
    """What twice the trials would gain, against the noise of a seed; None if nothing is known."""
    gain, noise = advice["gain"], advice["seed_sd"]
    if gain is None:
        return None
    expected, high = gain["expected"], gain["ci95"][1]
    line = (
        f"Twice the trials would be expected to gain {expected:.2g} in {metric} "
        f"(95 %: 0 to {high:.2g})"
    )
    if not noise:  # unknown, or all seeds gave the same
        return line + "."
    than = "less" if expected < noise else "more"
    return line + f", {than} than the noise of a seed (standard deviation {noise:.2g})."


def warning_lines(advice: Mapping[str, Any]) -> list[str]:
    """Where the answer lies at an edge, what that means and what to do."""
    return [_LINES[warning["kind"]](warning) for warning in advice["warnings"]]


def _range_line(warning: Mapping[str, Any]) -> str:
    place, edge = ("lower", "low") if warning["side"] == "low" else ("upper", "high")
    better = "below" if edge == "low" else "above"
    return (
        f"lr {warning['lr']:.3g} of {warning['optimizer']} is at the {place} end of the range that "
        f"was searched ({warning['edge']:.2g}); a better one may lie {better}. To go on there "
        f"(lrsearch study extend), under space.optimizers of the study file: {warning['line']}"
    )


def _stability_line(warning: Mapping[str, Any]) -> str:
    where = "the range test's loss climbs"
    if warning["diverged"]:
        where = f"{_trials(warning['diverged'])} diverged"
    return (
        f"lr {warning['lr']:.3g} of {warning['optimizer']} is near the edge of stability: from "
        f"{warning['edge']:.2g} on {where}. Another seed or more steps may diverge; a lower lr, "
        f"warm-up or clip_norm is safer."
    )


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"


_LINES = {"range": _range_line, "stability": _stability_line}
