"""What stands behind the answer: how its recipe was chosen, and what the baseline was worth."""

from collections.abc import Iterator

from lrsearch.confirmation.confirmed import Confirmed
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.report.text.confirmation import promised, sentences
from lrsearch.report.text.format import counted, mean, number
from lrsearch.report.text.score import score
from lrsearch.trial.states import TrialState


def detail_lines(report: Report) -> tuple[str, ...]:
    """Sentences that the answer leaves out; `-v` and the report show them."""
    winner = report.winner
    chosen = () if winner is None else _chosen(report, winner)
    return (*_what_counts(report), *chosen, *_baseline(report))


def _what_counts(report: Report) -> Iterator[str]:
    if report.recommended is not None:
        at = report.spec.objective.at
        yield f"The {report.metric} of a training is that of its {at} validation."


def _chosen(report: Report, winner: Confirmed) -> Iterator[str]:
    mine = report.trial(winner.trial)
    if mine is not None and report.best is not None:
        yield _in_the_search(mine, report.best, promised(winner.optimism))
    yield from sentences(winner, report.spec.objective)


def _in_the_search(mine: Trial, best: Trial, compared: str) -> str:
    """What the recommended recipe showed in the search, and the search's best beside it."""
    line = f"In the search, on one seed, trial {mine.number} had {number(mine.value)}"
    line += " when it was pruned" if mine.state == TrialState.PRUNED else ""
    if best.number == mine.number:
        return f"{line}, the search's best{compared}."
    return (
        f"{line}{compared}. The search's best was trial {best.number} with {number(best.value)}; "
        f"with fresh seeds it was not the best."
    )


def _baseline(report: Report) -> Iterator[str]:
    """The user's own recipe, and what it was worth."""
    baseline, entry = report.baseline, report.confirmed_baseline
    if baseline is None or baseline.parsed is None:
        return
    name = f"Your baseline is {baseline.parsed.title()}:"
    if entry is not None:
        runs = f"{report.metric} {mean(entry.mean, entry.ci95)} on {counted(entry.n, 'fresh seed')}"
        yield f"{name} {runs}."
    elif baseline.is_scored:
        value = score(report, number(baseline.value), baseline.metrics)
        yield f"{name} {value} on the search's one seed."
    else:
        reason = f" ({baseline.reason})" if baseline.reason else ""
        yield f"{name} it has no value; its state is {baseline.state}{reason}."
