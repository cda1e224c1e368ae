"""A study's review in sentences, which the answer and the page share."""

from lrsearch.advice.lr_edges import RangeEdge, StabilityEdge
from lrsearch.catalog.script import in_words
from lrsearch.report.review import Advice, Audit, Warned
from lrsearch.report.text.format import counted, learning_rate, number, percent
from lrsearch.trial.pruning_audit import LEAST_AUDITED, Rate


def audit_line(audit: Audit) -> str | None:
    """How often pruning erred; None if no trial was audited."""
    found = audit.overall
    if not found.audited:
        return None
    pool = f", in {audit.studies} studies of the project," if audit.studies > 1 else ""
    text = (
        f"Audit: {counted(found.audited, 'trial')}{pool} went on to the end although pruning would "
        f"have stopped {'it' if found.audited == 1 else 'them'}. "
        f"{found.false} ended among the best 5 %"
    )
    if found.share is None:
        return f"{text}; at least {LEAST_AUDITED} are needed to tell how often pruning errs."
    return f"{text}: pruning errs in {share_text(found)}."


def share_text(rate: Rate) -> str:
    """`8.3 % (95 % interval 0 to 38 %)`; of too few trials nothing is said."""
    if rate.share is None or rate.ci95 is None:
        return ""
    low, high = (percent(end) for end in rate.ci95)
    return f"{percent(rate.share)} % (95 % interval {low} to {high} %)"


def gain_line(advice: Advice, metric: str) -> str | None:
    """What twice the trials would gain, against the noise of a seed; None if nothing is known."""
    gain, noise = advice.gain, advice.seed_sd
    if gain is None:
        return None
    line = (
        f"Twice as many trials are expected to improve {metric} by {number(gain.expected, 2)} "
        f"(95 % interval 0 to {number(gain.high, 2)})"
    )
    if not noise:  # unknown, or all seeds gave the same
        return line + "."
    than = "less" if gain.expected < noise else "more"
    return f"{line}, {than} than the noise of a seed (standard deviation {number(noise, 2)})."


def warning_lines(advice: Advice) -> list[str]:
    """Where the answer lies at an edge, what that means and what to do."""
    return [_warning(warned, warned.edge) for warned in advice.warnings]


def _warning(warned: Warned, edge: RangeEdge | StabilityEdge) -> str:
    name = f"lr {learning_rate(warned.lr)} of {in_words(warned.optimizer)}"
    if isinstance(edge, RangeEdge):
        end, beyond = ("lower", "below") if edge.side == "low" else ("upper", "above")
        return (
            f"{name} lies at the {end} end of the range that was searched, "
            f"{number(edge.edge, 2)}. A better lr may lie {beyond} it. To search there, write "
            f"under space.optimizers: {edge.line}"
        )
    where = "the loss of the range test climbs"
    if edge.diverged:
        where = f"{counted(edge.diverged, 'trial')} diverged"
    return (
        f"{name} is near the edge of stability: from {number(edge.edge, 2)} on {where}. With "
        f"another seed or more steps it may diverge. A lower lr, warm-up or clip_norm is safer."
    )


def review_lines(advice: Advice, audit: Audit, metric: str) -> list[str]:
    """What more trials would gain, and how often pruning erred, as far as that is known."""
    lines = (gain_line(advice, metric), audit_line(audit))
    return [line for line in lines if line is not None]
