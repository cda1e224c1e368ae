"""What confirmation runs say: means, ties, and which recipe is recommended, in one phrase why.

Only runs that report are averaged; those that chose are the winner's lucky ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import sqrt
from statistics import fmean, stdev
from typing import Any, Protocol

from lrsearch.confirmation.plan import losses_of, standings
from lrsearch.confirmation.runs import BASELINE, CHOOSE, REPORT, RIVAL, TEST, WINNER, Run
from lrsearch.confirmation.statistics import (
    Difference,
    Verdict,
    difference,
    interval,
    pairs,
    verdict,
)
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial import states

#: A tied recipe is cheaper if it takes at most this share of the other's time: the time of a run
#: itself differs by a few per cent.
CHEAPER = 0.9

Entry = dict[str, Any]


class Trial(Protocol):
    """A search trial as it is stored."""

    @property
    def state(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def recipe(self) -> Mapping[str, Any] | None: ...


def summary(
    runs: Sequence[Run],
    trials: Mapping[int, Trial],
    spec: StudySpec,
    basins: Mapping[int, float | None] | None = None,
) -> list[Entry]:
    """The confirmed recipes, the recommended one first; empty until all runs that report ended.

    `trials` are the rows of the search by number, `basins` decades of learning rates by number.
    """
    reported = [run for run in runs if run.round == REPORT]
    if not reported or any(run.state in states.OPEN for run in reported):
        return []
    entries = {
        role: entry
        for role in (WINNER, RIVAL, BASELINE)
        if (entry := _entry(role, reported, trials, spec, basins or {})) is not None
    }
    if not entries:
        return []
    first, why = _recommended(entries, runs, spec)
    others = [entry for entry in entries.values() if entry is not first]
    for entry in others:
        beside = _beside(entry, first)
        entry["difference"] = None if beside is None else asdict(beside)
        entry["tied"] = _verdict(beside, spec) == "tied"
    runner_up = _runner_up(first, others, runs, spec)
    compared = others if runner_up is None else [*others, runner_up]
    tied_with = dict.fromkeys(entry["trial"] for entry in compared if entry["tied"])
    first |= {"tied": bool(tied_with), "tied_with": list(tied_with)}
    first |= {"why": why, "runner_up": runner_up}
    first["test"] = next((run.test for run in runs if run.round == TEST), None)
    return [first, *others]


def _entry(
    role: str,
    reported: Sequence[Run],
    trials: Mapping[int, Trial],
    spec: StudySpec,
    basins: Mapping[int, float | None],
) -> Entry | None:
    """The means of one role's runs; None if none of them gave a value."""
    mine = [run for run in reported if run.role == role]
    scored = [run for run in mine if run.value is not None]
    if not scored:
        return None
    number = mine[0].number
    values = [run.value for run in mine if run.value is not None]
    ci95 = interval(values)
    return {
        "trial": number,
        "mean": fmean(values),
        "ci95": None if ci95 is None else list(ci95),
        "n": len(values),
        "tied": False,
        "recipe": trials[number].recipe,
        "role": role,
        "values": values,
        "seeds": [run.seed for run in scored],
        "failed": len(mine) - len(scored),
        "metrics": _mean_metrics(scored),
        "epochs": fmean(run.epochs for run in scored),
        "seconds": fmean(run.seconds for run in scored),
        "basin": basins.get(number),
        "optimism": _optimism(trials[number], fmean(values), spec),
    }


def _mean_metrics(runs: Sequence[Run]) -> dict[str, float]:
    scored = [run.metrics for run in runs if run.metrics]
    names = scored[0] if scored else {}
    return {
        name: fmean(values)
        for name in names
        if len(values := [value for each in scored if (value := each[name]) is not None])
        == len(scored)
    }


def _optimism(trial: Trial, mean: float, spec: StudySpec) -> Entry | None:
    """How much better the search's own value was than the mean; None for one cut short."""
    value = trial.value
    if value is None or trial.state != "complete":
        return None
    gap = spec.objective.loss(mean) - spec.objective.loss(value)
    return {"search": value, "gap": gap, "percent": 100 * gap / abs(mean) if mean else None}


def _scores(entry: Entry) -> dict[int, float | None]:
    return dict(zip(entry["seeds"], entry["values"], strict=True))


def _beside(entry: Entry, other: Entry) -> Difference | None:
    """Values of the first less the second's, on their common seeds."""
    return difference(_scores(entry), _scores(other))


def _verdict(found: Difference | None, spec: StudySpec) -> Verdict:
    """What a difference of values says of the recipe that comes first in it."""
    losses = found if spec.objective.direction == "minimize" or found is None else -found
    return verdict(losses, spec.tolerance)


# Which is recommended.


def _recommended(
    entries: Mapping[str, Entry], runs: Sequence[Run], spec: StudySpec
) -> tuple[Entry, str]:
    """The winner of the choice, unless fresh seeds or robustness speak for another; and why.

    Of the finalists, as in the choice, one that failed more seeds than the other is out.
    """
    finalists = [entry for role, entry in entries.items() if role != BASELINE]
    lead = min(finalists or entries.values(), key=lambda entry: int(entry["failed"]))
    others = [entry for entry in entries.values() if entry["failed"] <= lead["failed"]]
    others.remove(lead)
    verdicts = {entry["role"]: _verdict(_beside(entry, lead), spec) for entry in others}
    better = [entry for entry in others if verdicts[entry["role"]] == "better"]
    if better:
        best = min(better, key=lambda entry: spec.objective.loss(entry["mean"]))
        return best, f"better than trial {lead['trial']} on fresh seeds"
    led = next(run for run in runs if run.round == REPORT and run.role == WINNER)
    if lead["trial"] != led.number:
        return lead, f"trial {led.number}, which led the choice, failed on fresh seeds"
    rival = next((entry for entry in others if entry["role"] == RIVAL), None)
    if rival is None:
        return lead, _why_alone(lead, runs)
    if verdicts[RIVAL] == "worse":
        return lead, f"better than trial {rival['trial']}, the runner-up, on fresh seeds"
    preferred = _preferred(lead, rival) if _is_near(lead, rival, runs, spec) else None
    if preferred is not None:
        return preferred
    return lead, f"tied with trial {rival['trial']}, and ahead of it on the seeds that chose"


def _why_alone(lead: Entry, runs: Sequence[Run]) -> str:
    candidates = len({run.number for run in runs if run.round == CHOOSE})
    if candidates < 2:
        return "the search's best; too few runs to compare it with others"
    return f"the best of {candidates} candidates on the seeds that chose"


def _is_near(lead: Entry, rival: Entry, runs: Sequence[Run], spec: StudySpec) -> bool:
    """Whether the seeds that chose put them within the tolerance, or one standard error.

    The rule of one standard error is Breiman's (1984). Taking the more robust of any two that are
    tied lost a third of what choosing gains (simulated: regret 4.8 % against 3.5 %, and 3.8 %
    with this rule); as the seeds that report have no part in it, it leaves the mean unbiased.
    """
    minimize = spec.objective.direction == "minimize"
    mine, theirs = (losses_of(runs, e["trial"], minimize=minimize) for e in (lead, rival))
    behind = list(pairs(theirs, mine).values())
    if len(behind) < 2:
        return False
    return fmean(behind) <= max(spec.tolerance, stdev(behind) / sqrt(len(behind)))


def _preferred(lead: Entry, rival: Entry) -> tuple[Entry, str] | None:
    """The one of two equals that is more robust, else the cheaper; None if neither is."""
    for mine, other in ((lead, rival), (rival, lead)):
        wide, narrow = mine["basin"], other["basin"]
        if wide is not None and narrow is not None and wide > narrow:
            return mine, (
                f"tied with trial {other['trial']}, and good over a wider range of learning "
                f"rates ({wide:g} against {narrow:g} decades)"
            )
    for mine, other in ((lead, rival), (rival, lead)):
        if mine["seconds"] <= CHEAPER * other["seconds"]:
            return mine, (
                f"tied with trial {other['trial']}, and cheaper ({mine['seconds']:.3g} against "
                f"{other['seconds']:.3g} s a run)"
            )
    return None


def _runner_up(
    first: Entry, others: Sequence[Entry], runs: Sequence[Run], spec: StudySpec
) -> Entry | None:
    """How the recommended compares with the next: on fresh seeds, else on those that chose.

    Seeds that chose favour their winner, so a tie there is one, and a lead may be luck.
    """
    finalist = next((entry for entry in others if entry["role"] != BASELINE), None)
    if finalist is not None:
        return _on_fresh_seeds(finalist)
    minimize = spec.objective.direction == "minimize"
    standing = standings(runs, minimize=minimize)
    rival = next((number for number in standing if number != first["trial"]), None)
    reported = next((entry for entry in others if entry["trial"] == rival), None)
    if reported is not None:  # the baseline
        return _on_fresh_seeds(reported)
    if rival is None or first["trial"] not in standing:
        return None
    losses = difference(standing[rival], standing[first["trial"]])
    shown = losses if minimize or losses is None else -losses
    return {
        "trial": rival,
        "round": CHOOSE,
        "tied": verdict(losses, spec.tolerance) == "tied",
        "difference": None if shown is None else asdict(shown),
    }


def _on_fresh_seeds(entry: Entry) -> Entry:
    shown = {name: entry[name] for name in ("trial", "tied", "difference")}
    return {**shown, "round": REPORT}
