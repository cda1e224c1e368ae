"""Which optimizer did better, and which schedule, in sentences."""

from collections.abc import Iterator, Sequence

from lrsearch.catalog.script import in_words
from lrsearch.report.answer.rankings import Option, Ranking
from lrsearch.report.text.format import counted, number

#: What has fewer trials than are needed is named up to here.
MOST_NAMED = 4


def ranking_sentences(ranking: Ranking | None, metric: str) -> str:
    """The verdict, what the options reach, and which were not compared; empty for None."""
    return "" if ranking is None else " ".join(_sentences(ranking, metric))


def _sentences(ranking: Ranking, metric: str) -> Iterator[str]:
    first, *others = ranking.options
    yield _verdict(ranking, first, others)
    next_, last = others[0], others[-1]
    k = ranking.k
    said = (
        f"The best of {k} trials is expected to reach {metric} {_reached(first)}, and "
        f"{_reached(next_)}"
    )
    yield f"{said}." if next_ is last else f"{said}; the last, {_reached(last, named=True)}."
    if ranking.left_out:
        yield f"Not compared, for too few trials: {_names(ranking.left_out)}."


def _verdict(ranking: Ranking, first: Option, others: Sequence[Option]) -> str:
    kind = "optimizer" if ranking.optimizer is None else "schedule"
    of = "" if ranking.optimizer is None else f" of {in_words(ranking.optimizer)}"
    worse = [option.name for option in others if option.is_worse]
    alike = [option.name for option in others if not option.is_worse]
    name = in_words(first.name)
    if not worse:
        return (
            f"No {kind}{of} is shown to be better than the others: {name} leads by no more than "
            f"chance explains."
        )
    than = f"{_names(worse)}, by more than chance explains"
    said = f"Of the {kind}s{of}, {name} is better than {than}"
    return f"{said}; it is not told apart from {_names(alike)}." if alike else f"{said}."


def _reached(option: Option, *, named: bool = False) -> str:
    """`0.066 with adamw (95 % interval 0.06 to 0.07, 34 trials)`"""
    name = in_words(option.name)
    low, high = number(option.low, 3), number(option.high, 3)
    value = number(option.expected, 3)
    said = f"{name}, {value}" if named else f"{value} with {name}"
    return f"{said} (95 % interval {low} to {high}, {counted(option.trials, 'trial')})"


def _names(names: Sequence[str]) -> str:
    """`sgd, adam and lion`"""
    words = [in_words(name) for name in names]
    if len(words) > MOST_NAMED:
        words = [*words[:MOST_NAMED], f"{len(words) - MOST_NAMED} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
