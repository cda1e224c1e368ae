"""Why each trial ended as it did: one or two sentences."""

from collections.abc import Mapping

from lrsearch.confirmation.runs import REPORT
from lrsearch.report.figures.data.candidates import Candidate, Mean, candidates_of
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.report.stops import Stop, stops
from lrsearch.report.text.format import amount, counted, length_unit, number, percent
from lrsearch.spec.validation_plan import partial_rungs
from lrsearch.storage.column_types import one_line
from lrsearch.trial.states import MACHINE, TrialState


def trial_ends(report: Report) -> Mapping[int, str]:
    """By the trial's id why it ended, or what it waits for."""
    found = stops(report.trials, report.marks, report.spec.pruning)
    places = {trial.id: place for place, trial in enumerate(report.ranked, start=1)}
    candidates = {candidate.trial: candidate for candidate in candidates_of(report)}
    first = next(iter(candidates.values()), None)
    return {
        trial.id: " ".join(
            [
                _own_end(report, trial, found.get(trial.id), places.get(trial.id)),
                *_confirmation(candidates, trial, first),
            ]
        )
        for trial in report.trials
    }


def _own_end(report: Report, trial: Trial, stop: Stop | None, place: int | None) -> str:
    """What ended its training in the search."""
    reason = one_line(trial.reason) if trial.reason else ""
    if trial.kind == MACHINE:
        return f"Failed for its machine and does not count: {reason or 'no reason is stored'}."
    if not trial.has_ended:
        return _open(report, trial)
    if trial.state == TrialState.COMPLETE:
        return _complete(report, trial, place, reason)
    if reason:
        # A trial that someone stopped is pruned; its reason says that, and the state does not.
        by_hand = trial.state == TrialState.PRUNED
        return (
            f"{reason[:1].upper()}{reason[1:]}."
            if by_hand
            else f"{trial.state.capitalize()}: {reason}."
        )
    if stop is not None:
        return _stopped(report, trial, stop)
    return f"{trial.state.capitalize()} after {_length(report, trial)}; no reason is stored."


def _open(report: Report, trial: Trial) -> str:
    if not trial.recipe:
        return "Has no recipe yet."
    if trial.state == TrialState.WAITING:
        return f"Waits after {_length(report, trial)} until it is known whether it goes on."
    return "Still trains." if trial.worker else "Waits for a worker to go on with it."


def _complete(report: Report, trial: Trial, place: int | None, reason: str) -> str:
    end = f"Complete: {reason}" if reason else "Trained to its end"
    if trial.audited_at is not None:
        rungs = () if report.spec.pruning is None else report.spec.pruning.rungs
        at = f" at {_share(rungs[trial.audited_at])}" if trial.audited_at < len(rungs) else ""
        end += f", to measure how often pruning errs: a rung{at} would have stopped it"
    ranked = "" if place is None else f"; place {place} of {len(report.ranked)} complete trials"
    return f"{end}{ranked}."


def _share(share: float) -> str:
    return f"{percent(share)} % of a full training"


def _length(report: Report, trial: Trial) -> str:
    unit = length_unit(report.spec)
    return f"{amount(trial.epochs)} {unit.removesuffix('s') if trial.epochs == 1 else unit}"


def _stopped(report: Report, trial: Trial, stop: Stop) -> str:
    """The rung, its loss there and those of the others, and the rule."""
    where = f"Pruned at {_share(stop.share)} ({_length(report, trial)})"
    objective = report.spec.objective
    if stop.loss is None:
        return f"{where}: its {report.metric} there was not finite."
    value = number(objective.loss(stop.loss))
    averaged = trial.value is not None and number(trial.value) != value
    weights = " (of its raw or averaged weights, the better)" if averaged else ""
    place = f"place {stop.place} of the {stop.came} that have come there"
    part = None if report.spec.pruning is None else report.spec.pruning.part
    if part is not None and stop.share in partial_rungs(report.spec, report.study.steps_per_epoch):
        weights = f" on {part.count:,} validation samples"
    there = f"its {report.metric} there, {value}{weights}, is {place}"
    if report.plan.planned is not None:
        return f"{where}: {there}, of which {stop.went_on} went on."
    rule = f"One trial in {stop.eta:g} goes on, of those that came before it"
    if stop.passes_now or stop.needed is None:
        return f"{where}: {there}. {rule}, and it was not among them."
    better = "less" if objective.direction == "minimize" else "more"
    needed = f"{number(objective.loss(stop.needed))} or {better}"
    return f"{where}: {there}. {rule}; of all that have come it would take {needed}."


def _confirmation(
    candidates: Mapping[int, Candidate], trial: Trial, first: Candidate | None
) -> list[str]:
    """What became of its recipe when the best were trained on fresh seeds."""
    if first is None or trial.number is None or not trial.is_scored:
        return []
    mine = candidates.get(trial.number)
    if mine is None:
        return [f"Not among the {counted(len(candidates), 'recipe')} trained on fresh seeds."]
    reported, best = _reported(mine), _reported(first)
    means = ""
    if reported is not None:
        means = f", mean {number(reported.mean)} of {counted(reported.n, 'fresh seed')}"
        if mine is not first and best is not None:
            means += f"; the recommended one has {number(best.mean)}"
    return [f"Confirmation: {mine.fate}{means}."]


def _reported(candidate: Candidate) -> Mean | None:
    return next((mean for mean in candidate.means if mean.round == REPORT), None)
