"""The second line of the answer: what the recipe gains over the user's own, or the portfolio's.

A gain is said in the unit of the objective: `0.117 better accuracy than your baseline`.
"""

from lrsearch.confirmation.runs import BASELINE, REPORT, TEST
from lrsearch.confirmation.statistics import LEAST_PAIRS
from lrsearch.report.answer.gain import Gain, recommended_trial, reference
from lrsearch.report.answer.verdict import Verdict, baseline_has_no_value
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, number
from lrsearch.trial.states import TrialState

#: Significant digits of a gain.
DIGITS = 3
LUCK_OF_FEW = "trials on one seed looks better than it is"
LUCK = f"the best of many {LUCK_OF_FEW}"
#: Trials up to which their number is said.
FEW = 9


def gain_sentence(report: Report, gain: Gain | None, verdict: Verdict) -> str:
    """What is gained, on how many seeds, and whether to keep the reference. Of a recipe alone."""
    if verdict in (Verdict.UNCONFIRMED, Verdict.RUNNING):
        return _unconfirmed(report, gain, verdict)
    if verdict in (Verdict.KEEP_BASELINE, Verdict.PORTFOLIO):
        return _of_the_reference(report, gain)
    if verdict == Verdict.BASELINE_WITHOUT_VALUE:
        return _no_baseline(report)
    if gain is None:
        return _nothing_to_compare(report)
    name, on = _reference(gain), _seeds(gain)
    if verdict == Verdict.BETTER:
        return f"{_size(gain, report)} than {name} ({_interval(gain)}), confirmed on {on}."
    if verdict == Verdict.WORSE:
        return f"{_better_reference(report, gain)}. {_failed_runs(report, gain)}"
    if verdict == Verdict.ONE_SEED:
        chance = "One seed cannot tell a difference from chance"
        return f"{_size(gain, report)} than {name}{_comma(gain)} on {on}. {chance}."
    if gain.n < LEAST_PAIRS:
        few = "So few seeds cannot tell"
        return f"Not shown to be better than {name}. {_measured(report, gain)}. {few}."
    keep = ": keep yours" if gain.against == "baseline" else ""
    return f"No better than {name}{keep}. {_measured(report, gain)}."


def _unconfirmed(report: Report, gain: Gain | None, verdict: Verdict) -> str:
    against = reference(report)
    last = f"Not confirmed: {_luck(report)}."
    if verdict == Verdict.RUNNING:
        tell = "" if report.spec.confirm is None else ": runs with fresh seeds are still to come"
        last = f"The study is {_stands(report)}, and {LUCK}{tell}."
    if against is not None and against.number == recommended_trial(report):
        own = "your baseline" if against.kind == "baseline" else "the portfolio's first recipe"
        other = "no other recipe was better on the search's one seed"
        if len(report.trials) == 1:
            other = "no other recipe was tried"
        return f"This is {own}: {other}. {last}"
    if report.spec.baseline is not None and baseline_has_no_value(report):
        return f"{_no_baseline(report)} {last}"
    if gain is None:
        return f"{_nothing_to_compare(report)} {last}"
    than = f"{_reference(gain)}{_comma(gain)}"
    return f"{_size(gain, report)} than {than} on {_seeds(gain)}. {last}"


def _luck(report: Report) -> str:
    """Why a value of the search is no promise."""
    count = len(report.trials)
    if count == 1:
        return "it is one training on one seed"
    return LUCK if count > FEW else f"the best of {count} {LUCK_OF_FEW}"


def _stands(report: Report) -> str:
    return "paused" if report.state == "paused" else "not over"


def _of_the_reference(report: Report, gain: Gain | None) -> str:
    """What is said where nothing that was searched for beats the reference."""
    against = reference(report)
    is_own = against is not None and against.kind == "baseline"
    if gain is not None and gain.ci95 is not None and gain.ci95[1] < -report.spec.tolerance:
        return f"{_better_reference(report, gain)}{': keep yours' if is_own else ''}."
    than = "your baseline: keep yours" if is_own else "this one, the first of the portfolio"
    line = f"No recipe of the search is shown to be better than {than}."
    if gain is None:
        return line
    trained = {run.number for run in report.runs if run.round != TEST}
    if gain.seeds == "search" and trained == {gain.trial}:
        line += " It alone was trained on fresh seeds, since no recipe of the search did better."
    return f"{line} {_measured(report, gain)}."


def _better_reference(report: Report, gain: Gain) -> str:
    name = "Your baseline" if gain.against == "baseline" else "The portfolio's first recipe"
    than = f"trial {gain.of}, the best that the search found"
    size = f"{_number(-gain.value)} better in {report.metric}"
    return f"{name} is {size} than {than} ({_interval(gain, sign=-1)}, on {_seeds(gain)})"


def _failed_runs(report: Report, gain: Gain) -> str:
    """Why a reference that is better where it trained is not the recommended recipe."""
    failed = next((each.failed for each in report.confirmed if each.trial == gain.trial), 0)
    runs = counted(failed, "more run")
    name = "your baseline" if gain.against == "baseline" else "that one"
    return f"But {runs} of {name} gave no value, so trial {gain.of} is recommended."


def _no_baseline(report: Report) -> str:
    baseline = report.baseline
    lost = sum(run.role == BASELINE and run.round == REPORT for run in report.runs)
    if baseline is None:
        return "Your baseline has not been trained yet, so the gain over it is not known."
    if not baseline.has_ended:
        return "Your baseline is still in training, so the gain over it is not known."
    if lost:
        runs = counted(lost, "run")
        return f"Your baseline gave no value in {runs} with fresh seeds, so no gain can be stated."
    if baseline.state == TrialState.DIVERGED:
        return "Your baseline diverged, and this recipe trains: there is no value to compare with."
    return f"Your baseline has no value, since it {baseline.state}: the gain is not known."


def _nothing_to_compare(report: Report) -> str:
    winner = report.winner
    if winner is not None and winner.n == 1:
        return "One fresh seed confirmed it: how much the value varies with the seed is not known."
    if reference(report) is None:
        return "There is no baseline and no recipe of a portfolio to compare it with."
    return "It has no seed in common with what it would be compared with."


def _reference(gain: Gain) -> str:
    if gain.against == "baseline":
        return "your baseline"
    return f"trial {gain.trial}, the portfolio's first recipe"


def _comma(gain: Gain) -> str:
    """After the name of the reference, which may end in an apposition."""
    return "" if gain.against == "baseline" else ","


def _seeds(gain: Gain) -> str:
    return "the search's one seed" if gain.seeds == "search" else counted(gain.n, "fresh seed")


def _size(gain: Gain, report: Report) -> str:
    if gain.value == 0:
        return f"Neither better nor worse {report.metric}"
    return f"{_number(abs(gain.value))} {'better' if gain.value > 0 else 'worse'} {report.metric}"


def _interval(gain: Gain, sign: int = 1) -> str:
    low, high = sorted(sign * end for end in gain.ci95 or ())
    return f"95 % interval {_number(low)} to {_number(high)}"


def _measured(report: Report, gain: Gain) -> str:
    """The difference with its interval, where its sign is open."""
    compared = f"On {_seeds(gain)} trial {gain.of} is {_either_way(gain.value)} in {report.metric}"
    if gain.ci95 is None:
        return compared
    low, high = map(_either_way, gain.ci95)
    return f"{compared}; the 95 % interval goes from {low} to {high}"


def _either_way(value: float) -> str:
    """`0.0164 worse`"""
    if value == 0:
        return "neither better nor worse"
    return f"{_number(abs(value))} {'better' if value > 0 else 'worse'}"


def _number(value: float) -> str:
    return number(value, DIGITS)
