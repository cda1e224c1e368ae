"""What is not known where a budget is so small that each recipe is simply trained to its end."""

from collections.abc import Iterator

from lrsearch.advice.outlook import Outlook, outlook
from lrsearch.report.model import Report
from lrsearch.report.text.outlook import apart_words, outlook_sentence
from lrsearch.spec.one_run import is_one_run


def outlook_of(report: Report) -> Outlook | None:
    """What the recipes that were tried are worth, and more of them; None of a larger budget.

    The user's own recipes are in no record.
    """
    if not _is_small_search(report):
        return None
    tried = sum(trial.kind in ("portfolio", "sampled") for trial in report.ranked)
    return outlook(report.spec, tried)


def doubt_lines(report: Report, found: Outlook | None) -> Iterator[str]:
    """How far from the best the recipe may be, what more would bring, what nobody looked at.

    Of an answer of such a budget that no run with a fresh seed stands behind.
    """
    if not _is_small_search(report):
        return
    if found is not None:
        text = outlook_sentence(found)
        yield f"{text[0].upper()}{text[1:]}{apart_words(found)}."
    if report.spec.program != "command":  # which has no range test
        yield _edge(report)


def _is_small_search(report: Report) -> bool:
    """Whether it has an answer that no run with a fresh seed stands behind, and searched at all."""
    searched = report.plan.whole and not is_one_run(report.spec)
    return searched and report.recommended is not None and report.winner is None


def _edge(report: Report) -> str:
    """Whether the learning rate is one that training stands."""
    if any(test.parsed is not None for test in report.range_tests):
        return "The range test saw the first steps alone: what grows unstable later, it cannot see."
    return (
        "No range test was made: how near this learning rate is to where training explodes is not "
        "known."
    )
