"""Why values of compared studies may not mean the same, a sentence each."""

from collections.abc import Iterator

from lrsearch.report.comparison.comparison import Comparison
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.model import Report
from lrsearch.report.text.format import amount, length_unit


def warnings(found: Comparison) -> Iterator[str]:
    """Of each study beside the first."""
    first = found.first
    for entry in found.entries[1:]:
        yield from _warnings(entry, first)


def _warnings(entry: Entry, first: Entry) -> Iterator[str]:
    mine, theirs = entry.report, first.report
    may = "their values may not mean the same"
    if mine.spec.reference != theirs.spec.reference:
        yield (
            f"{entry.label} trains {mine.spec.reference}, {first.label} {theirs.spec.reference}: "
            f"{may}."
        )
    else:
        files = {*mine.study.code, *theirs.study.code}
        changed = [f for f in sorted(files) if mine.study.code.get(f) != theirs.study.code.get(f)]
        if changed:
            names = ", ".join(changed)
            yield f"The code of {entry.label} and {first.label} differs ({names}): {may}."
    lengths = [_length(each) for each in (mine, theirs)]
    if lengths[0] != lengths[1]:
        yield (
            f"One training is {lengths[0]} in {entry.label} and {lengths[1]} in {first.label}: a "
            f"difference may come from that alone."
        )
    if mine.spec.objective.at != theirs.spec.objective.at:
        at = [f"the {each.spec.objective.at} validation" for each in (mine, theirs)]
        yield f"A value of {entry.label} is of {at[0]}, one of {first.label} of {at[1]}."


def _length(report: Report) -> str:
    if not report.spec.knows_length:
        return "of unknown length"
    return f"{amount(report.plan.horizon)} {length_unit(report.spec)}"
