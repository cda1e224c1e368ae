"""A comparison in sentences, the same in terminal, page, Markdown and JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lrsearch.report.comparison.comparability import warnings
from lrsearch.report.comparison.comparison import Compared, Comparison, Standing
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.comparison.tables import tables
from lrsearch.report.text.format import counted, number
from lrsearch.report.text.gain import DIGITS, LUCK
from lrsearch.report.text.no_answer import why_none
from lrsearch.report.text.result import answer

#: Standings that a study can leave by training more.
OPEN = (Standing.NO_RECIPE, Standing.UNCONFIRMED, Standing.ONE_SEED)
#: The end of a sentence on a study that is not confirmed.
STATES = {"finished": "", "paused": "; it is paused", "open": "; it has not ended yet"}


@dataclass(frozen=True, kw_only=True)
class Next:
    """What to do next with one of the studies."""

    #: Its label.
    of: str
    #: The study's own next step: what it is for, and what to paste.
    why: str
    command: str
    sentence: str


def sentences(found: Comparison) -> list[str]:
    """Which recipe is better, by how much and how sure; why values may mislead; what to do."""
    said = [line for each in found.compared for line in _compared(found, each)]
    lines = list(dict.fromkeys(said))  # what is said of a study once
    if len(found.compared) > 1 and any(each.ci95 for each in found.compared):
        lines.append(
            f"Each study is compared with {found.first.label}, the first one named. The intervals "
            f"of all {len(found.compared)} comparisons hold together in 95 % of cases."
        )
    lines += [f"Warning: {line}" for line in warnings(found)]
    step = next_step(found)
    return [*lines, *([] if step is None else [step.sentence])]


def title(found: Comparison) -> str:
    """The outcome in a few words."""
    standings = [each.standing for each in found.compared]
    if any(standing in OPEN for standing in standings):
        return "Not decided yet"
    better = [each.of for each in found.compared if each.standing == Standing.BETTER]
    if better:
        return f"Better than {found.first.label}: {', '.join(better)}"
    if all(standing == Standing.WORSE for standing in standings):
        return f"{found.first.label} is better"
    if len(standings) == 1:
        return "Neither is shown to be better"
    return f"None is shown to be better than {found.first.label}"


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
            yield f"{entry.label} is not confirmed with fresh seeds{STATES[entry.report.state]}."
    if each.value is not None:
        metric = found.objective.metric
        yield (
            f"It is not known yet which is better. The best trial of {each.of} has "
            f"{_size(each.value, metric)} than the best of {each.against}, each on its search's "
            f"one seed; {LUCK}."
        )


def _on_fresh_seeds(found: Comparison, each: Compared) -> str:
    metric, value = found.objective.metric, each.value or 0.0
    if each.ci95 is None:
        return (
            f"{each.of} has {_size(value, metric)} than {each.against}, from {_seeds(each)}. "
            f"One run cannot tell a difference from chance."
        )
    if each.standing == Standing.NO_DIFFERENCE:
        tolerance = max(entry.report.spec.tolerance for entry in _pair(found, each))
        beyond = f" beyond the tolerance of {number(tolerance, DIGITS)}" if tolerance else ""
        ends = " to ".join(_side(end) for end in each.ci95)
        return (
            f"No difference{beyond} is shown: {each.of} has {_size(value, metric)} than "
            f"{each.against} (95 % interval {ends}), from {_seeds(each)}."
        )
    low, high = sorted(abs(end) for end in each.ci95)
    within = f"95 % interval {number(low, DIGITS)} to {number(high, DIGITS)}"
    than = f"{_size(value, metric)} than {each.against}"
    return f"{each.of} has {than} ({within}), from {_seeds(each)}."


def _side(value: float) -> str:
    """`0.01 worse`"""
    return f"{number(abs(value), DIGITS)} {'worse' if value < 0 else 'better'}"


def _seeds(each: Compared) -> str:
    """How many runs, and how they were compared."""
    mine, theirs = each.n
    if each.method == "paired":
        return f"{mine} runs of each on the same fresh seeds, compared in pairs"
    of = f"{counted(mine, 'run')} of {each.of} and {theirs} of {each.against} with fresh seeds"
    return f"{of}, compared by their means (Welch's t)" if each.method else of


def _size(value: float, metric: str) -> str:
    return f"neither better nor worse {metric}" if value == 0 else f"{_side(value)} {metric}"


def _pair(found: Comparison, each: Compared) -> list[Entry]:
    return [entry for entry in found.entries if entry.label in (each.against, each.of)]


def next_step(found: Comparison) -> Next | None:
    """What an undecided study still needs, else how the better recipe is used; None for a tie."""
    undecided = [each for each in found.compared if each.standing in OPEN]
    for entry in found.entries if undecided else ():
        if entry.report.winner is None or entry.report.winner.n < 2:
            return _next_of(entry)
    standings = [each.standing for each in found.compared]
    if undecided or Standing.NO_DIFFERENCE in standings:
        return None
    best = max(found.compared, key=lambda each: each.value or 0.0)
    if best.standing == Standing.BETTER:
        return _next_of(_named(found, best.of))
    return _next_of(found.first)


def _next_of(entry: Entry) -> Next:
    """The study's own next step, with its database where it is not the one at hand."""
    step = answer(entry.report).next
    if entry.url is not None and step.command.startswith("lrsearch "):
        step = replace(step, command=f"{step.command} --storage {entry.url}")
    sentence = step.sentence.replace("Next, ", f"Next for {entry.label}, ", 1)
    return Next(of=entry.label, why=step.why, command=step.command, sentence=sentence)


def _named(found: Comparison, label: str) -> Entry:
    return next(entry for entry in found.entries if entry.label == label)


def comparison_text(found: Comparison) -> str:
    """What a terminal shows: the sentences, then the tables."""
    parts = ["\n".join(sentences(found))]
    for part in tables(found):
        lines = [part.title, *part.lines, *([part.note] if part.note else [])]
        parts.append("\n".join([*lines, *([part.grid.text()] if part.grid.rows else [])]))
    return "\n\n".join(parts)
