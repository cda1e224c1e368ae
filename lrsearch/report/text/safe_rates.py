"""Which learning rates are safe, in one or two sentences."""

from collections.abc import Iterator

from lrsearch.catalog.script import in_words
from lrsearch.confirmation.lr_tolerance import LEAST_TRIALS, Span
from lrsearch.report.answer.safe_rates import SafeRates
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, learning_rate, number


def safe_rates_sentence(report: Report, found: SafeRates | None) -> str:
    """The widest range that is known, and where training diverges; else that neither is known."""
    if found is None:
        return _unknown(report)
    name = in_words(found.optimizer)
    parts = []
    if found.percent_1 is not None and found.percent_5 is not None:
        near = _range(found.percent_1, "within 1 % of the best")
        far = _range(found.percent_5, "within 5 %")
        parts.append(f"Safe learning rates of {name}: {near}, {far}.")
        parts += _doubt(found)
        parts += _own(report, found.percent_5)
    elif found.noise is not None:
        parts.append(
            f"Safe learning rates of {name}: {_range(found.noise, 'do as well')}, as far as the "
            f"noise of seeds can tell."
        )
    if found.edge is not None:
        parts.append(_diverges(found.edge, found.diverged, name))
    elif parts:
        parts.append("No trial of it diverged.")
    return " ".join(parts)


def _doubt(found: SafeRates) -> Iterator[str]:
    """How well the range within 5 % is known."""
    if (factor := found.factor) is not None:
        low, high = number(factor.low, 2), number(factor.high, 2)
        interval = f"95 % interval {low} to {high}"
        yield f"The range within 5 % spans a factor of {number(factor.value, 2)} ({interval})."


def _own(report: Report, near: Span) -> Iterator[str]:
    """That the recipe's own rate lies beside the range, where it does."""
    recipe = report.recommended
    if recipe is None or near.low <= recipe.lr <= near.high:
        return
    side = "below" if recipe.lr < near.low else "above"
    yield (
        f"The recipe's own, {learning_rate(recipe.lr)}, lies {side} it: this recipe did better "
        f"than other trials near that rate, whose other fields differ."
    )


def _diverges(edge: float, diverged: int, name: str) -> str:
    if diverged:
        trials = counted(diverged, "trial")
        return f"Training with {name} diverges from {learning_rate(edge)} on: {trials} did."
    return f"In the range test training with {name} explodes from {learning_rate(edge)} on."


def _unknown(report: Report) -> str:
    recipe = report.recommended
    if recipe is None:
        return ""
    name = recipe.optimizer_name
    count = sum(
        trial.has_ended and trial.parsed is not None and trial.parsed.optimizer_name == name
        for trial in report.trials
    )
    start = "Which learning rates are safe is not known"
    if count < LEAST_TRIALS:
        are = "is" if count == 1 else "are"
        needs = f"that takes {LEAST_TRIALS} trials of {in_words(name)}, and there {are} {count}"
        return f"{start}: {needs}."
    if report.winner is None:
        return f"{start}: that takes runs with fresh seeds."
    return f"{start}."


def _range(rates: Span, does: str) -> str:
    """`0.1 to 0.3 do as well`; an end that no trial lies beyond is said to be open."""
    low, high = learning_rate(rates.low), learning_rate(rates.high)
    if rates.open_low and rates.open_high:
        return f"{low} to {high} {does} (no end was seen)"
    if rates.open_high:
        return f"{low} and above {does} (no upper end was seen up to {high})"
    if rates.open_low:
        return f"{high} and below {does} (no lower end was seen down to {low})"
    return f"{low} to {high} {does}"
