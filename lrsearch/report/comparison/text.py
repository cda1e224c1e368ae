"""A comparison in sentences, the same in terminal, page, Markdown and JSON."""

from collections.abc import Iterator

from lrsearch.report.comparison.comparison import Compared, Comparison, Standing, warnings
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.comparison.tables import tables
from lrsearch.report.text.format import counted, number
from lrsearch.report.text.gain import DIGITS, LUCK
from lrsearch.report.text.next_step import NextStep
from lrsearch.report.text.no_answer import why_none
from lrsearch.report.text.result import answer

#: Standings that a study can leave by training more.
OPEN = (Standing.NO_RECIPE, Standing.UNCONFIRMED, Standing.ONE_SEED)


def sentences(found: Comparison) -> list[str]:
    """Which recipe is better, by how much and how sure; why values may mislead; what to do."""
    lines = [line for each in found.compared for line in _compared(found, each)]
    if len(found.compared) > 1:
        lines.append(
            f"Each study is compared with {found.first.label}, the first one named. The "
            f"{len(found.compared)} intervals hold together in 95 % of cases."
        )
    lines += [f"Warning: {line}" for line in warnings(found)]
    step = next_step(found)
    return [*lines, *([] if step is None else [step.sentence])]


def _compared(found: Comparison, each: Compared) -> Iterator[str]:
    if each.standing == Standing.NO_RECIPE:
        yield from _without_recipe(found, each)
    elif each.standing == Standing.UNCONFIRMED:
        yield from _unconfirmed(found, each)
    else:
        yield _on_fresh_seeds(found, each)
    if each.same_recipe:
        yield f"{each.of} and {each.against} recommend the same recipe."


def _without_recipe(found: Comparison, each: Compared) -> Iterator[str]:
    yield f"{each.of} cannot be compared with {each.against} yet."
    for entry in _pair(found, each):
        if entry.report.recommended is None:
            yield f"{entry.label} has no recipe. {why_none(entry.report)}"


def _unconfirmed(found: Comparison, each: Compared) -> Iterator[str]:
    for entry in _pair(found, each):
        if not entry.fresh:
            still = "" if entry.report.state == "finished" else f", and is {_state(entry)}"
            yield f"{entry.label} is not confirmed with fresh seeds{still}."
    if each.value is not None:
        metric = found.objective.metric
        yield (
            f"It is not known yet which is better. The best trial of {each.of} has "
            f"{_size(each.value, metric)} than the best of {each.against}, each on its search's "
            f"one seed; {LUCK}."
        )


def _state(entry: Entry) -> str:
    return "paused" if entry.report.state == "paused" else "not over"


def _on_fresh_seeds(found: Comparison, each: Compared) -> str:
    metric, value = found.objective.metric, each.value or 0.0
    if each.interval is None:
        return (
            f"{each.of} has {_size(value, metric)} than {each.against} on {_seeds(each)}. One run "
            f"cannot tell a difference from chance."
        )
    if each.standing == Standing.NO_DIFFERENCE:
        tolerance = max(entry.report.spec.tolerance for entry in _pair(found, each))
        beyond = f" beyond the tolerance of {number(tolerance, DIGITS)}" if tolerance else ""
        ends = " to ".join(_side(end) for end in each.interval)
        return (
            f"No difference{beyond} is shown: {each.of} has {_size(value, metric)} than "
            f"{each.against} (95 % interval {ends}), from {_seeds(each)}."
        )
    low, high = sorted(abs(end) for end in each.interval)
    within = f"95 % interval {number(low, DIGITS)} to {number(high, DIGITS)}"
    than = f"{_size(value, metric)} than {each.against}"
    return f"{each.of} has {than} ({within}), from {_seeds(each)}."


def _side(value: float) -> str:
    """`0.01 worse`"""
    return f"{number(abs(value), DIGITS)} {'worse' if value < 0 else 'better'}"


def _seeds(each: Compared) -> str:
    """How many runs, whose seeds, and how they were compared."""
    mine, theirs = each.n
    if each.method == "paired" or (each.n == (1, 1) and each.shared):
        how = ", compared in pairs" if each.method else ""
        return f"{counted(mine, 'fresh seed')} that both have{how}"
    some = f", {each.shared} of them shared" if each.shared else ""
    how = ", compared by their means (Welch's t)" if each.method else ""
    return f"{mine} and {counted(theirs, 'fresh seed')}{some}{how}"


def _size(value: float, metric: str) -> str:
    return f"neither better nor worse {metric}" if value == 0 else f"{_side(value)} {metric}"


def _pair(found: Comparison, each: Compared) -> list[Entry]:
    return [entry for entry in found.entries if entry.label in (each.against, each.of)]


def next_step(found: Comparison) -> NextStep | None:
    """What an undecided study still needs, else how the better recipe is used; None for a tie."""
    undecided = [each for each in found.compared if each.standing in OPEN]
    for entry in found.entries if undecided else ():
        if entry.report.winner is None or entry.report.winner.n < 2:
            return answer(entry.report).next
    standings = [each.standing for each in found.compared]
    if undecided or Standing.NO_DIFFERENCE in standings:
        return None
    best = max(found.compared, key=lambda each: each.value or 0.0)
    if best.standing == Standing.BETTER:
        return answer(_named(found, best.of).report).next
    return answer(found.first.report).next


def _named(found: Comparison, label: str) -> Entry:
    return next(entry for entry in found.entries if entry.label == label)


def comparison_text(found: Comparison) -> str:
    """What a terminal shows: the sentences, then the tables."""
    parts = ["\n".join(sentences(found))]
    for part in tables(found):
        lines = [part.title, *([part.note] if part.note else [])]
        parts.append("\n".join([*lines, *([part.grid.text()] if part.grid.rows else [])]))
    return "\n\n".join(parts)
