"""Confirmation: the best recipes re-run with fresh seeds; some seeds choose, others report.

The best of a study is 11-34 % better on its one seed than on average (measured on 2,450 recorded
runs). So the best few are re-run on seeds the search never used; the winner of those runs is then
run on further seeds that had no part in choosing it, and only those give the reported mean.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from sqlalchemy import Connection

from lrsearch.errors import StudyError
from lrsearch.spec import CONFIRM_SHARE, StudySpec
from lrsearch.spec_parts import Confirm
from lrsearch.storage import claims, confirmations, studies, trials
from lrsearch.storage.rows import Row
from lrsearch.storage.tables import StudyState, TrialState
from lrsearch.study.search import Search

#: `auto` asks for no more runs than this; beyond 30 the regret of the choice hardly falls.
MOST_RUNS = 30
#: Share of the runs that choose; the rest report. 18 of 30 choosing and 12 reporting gave 94-95 %
#: coverage of the 95 % interval, reporting all of them 86-88 %.
CHOOSING_SHARE = 0.6
#: One re-run each chooses no better than the search itself did.
LEAST_SEEDS = 2

CHOOSE, REPORT = "choose", "report"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many candidates are re-run on how many seeds each, and how many runs then report."""

    candidates: int
    seeds: int
    report: int


def allowed_runs(
    spec: StudySpec, *, started: int, epochs_left: float | None, horizon: float
) -> int:
    """The most confirmation runs that a study may have: a quarter of its trials' epochs."""
    runs = math.floor(CONFIRM_SHARE * (spec.budget.trials or started))
    if epochs_left is not None:
        runs = min(runs, math.floor(epochs_left / horizon))
    return max(0, runs)


def shape(runs: int, top: int) -> Shape:
    """Divide `runs` between choosing among up to `top` candidates and reporting."""
    for candidates in range(top, 1, -1):
        seeds = math.floor(CHOOSING_SHARE * runs / candidates)
        if seeds >= LEAST_SEEDS:
            return Shape(candidates=candidates, seeds=seeds, report=runs - candidates * seeds)
    return Shape(candidates=1, seeds=0, report=runs)


def next_round(connection: Connection, search: Search, study: Row) -> list[dict[str, Any]]:
    """The runs that are due now: first those that choose, then those that report, then none.

    None are due while a search trial or an earlier run is still to end.
    """
    runs = confirmations.everything(connection, search.study_id)
    waiting = any(run["state"] in claims.OPEN for run in runs)
    reported = any(run["round"] == REPORT for run in runs)
    paused = study["state"] == StudyState.PAUSED
    if waiting or reported or paused or trials.any_running(connection, search.study_id):
        return []
    spec = StudySpec.from_stored(study["definition"])
    if spec.confirm is None:
        return []
    best = _best_numbers(connection, search, spec.confirm.top)
    if not best:
        return []
    plan = _shape_of(spec, study, runs, search.steps_per_epoch)
    if plan.seeds and not runs:
        return _choosing(spec, best[: plan.candidates], plan.seeds)
    winner = choose(runs, spec) if runs else best[0]
    if winner is None:
        return []
    baseline = trials.baseline(connection, search.study_id)
    return _reporting(spec, winner, baseline["number"] if baseline else None, plan)


def advance(search: Search) -> bool:
    """Plan the next round if the search is over; one process at a time. Whether there was one."""

    def plan(connection: Connection) -> bool:
        # Idle workers ask this all the time: only one that sees a round holds the others up.
        study = studies.by_id(connection, search.study_id)
        if study is None or search.may_start(connection):
            return False
        if not next_round(connection, search, study):
            return False
        study = studies.lock(connection, search.study_id)
        planned = [] if search.may_start(connection) else next_round(connection, search, study)
        if planned:
            confirmations.add(connection, search.study_id, planned)
        return bool(planned)

    return search.database.run(plan)


def _best_numbers(connection: Connection, search: Search, top: int) -> list[int]:
    minimize = search.spec.objective.direction == "minimize"
    rows = trials.ranked(connection, search.study_id, minimize=minimize, limit=top)
    return [row["number"] for row in rows]


def _shape_of(
    spec: StudySpec,
    study: Row,
    runs: Sequence[Row],
    steps_per_epoch: int,
) -> Shape:
    """The same shape in both rounds: epochs that the first has used count as left."""
    assert spec.confirm is not None
    left = None
    if study["epochs_total"] is not None:
        own = sum(run["epochs"] for run in runs)
        left = study["epochs_total"] - study["epochs_used"] + own
    allowed = allowed_runs(
        spec,
        started=study["trials_used"],
        epochs_left=left,
        horizon=spec.horizon_epochs(steps_per_epoch),
    )
    return shape(min(spec.confirm.runs or MOST_RUNS, allowed), spec.confirm.top)


def _choosing(spec: StudySpec, numbers: Sequence[int], seeds: int) -> list[dict[str, Any]]:
    # Seed by seed, so that candidates are compared on the same data order and initial weights.
    return [
        {"round": CHOOSE, "role": "candidate", "number": number, "seed": spec.seed + 1 + i}
        for i in range(seeds)
        for number in numbers
    ]


def _reporting(
    spec: StudySpec, winner: int, baseline: int | None, plan: Shape
) -> list[dict[str, Any]]:
    """The winner on fresh seeds; a baseline takes half of them, the same ones."""
    roles = [("winner", winner)]
    if baseline is not None and baseline != winner and plan.report >= 2 * LEAST_SEEDS:
        roles.append(("baseline", baseline))
    first = spec.seed + 1 + plan.seeds
    return [
        {"round": REPORT, "role": role, "number": number, "seed": first + i}
        for i in range(plan.report // len(roles))
        for role, number in roles
    ]


def choose(runs: Sequence[Mapping[str, Any]], spec: StudySpec) -> int | None:
    """The candidate with the best mean over the choosing seeds; one that failed a seed loses."""
    means: dict[int, float] = {}
    choosing = [run for run in runs if run["round"] == CHOOSE]
    for number in dict.fromkeys(run["number"] for run in choosing):
        values = [run["value"] for run in choosing if run["number"] == number]
        if all(value is not None for value in values):
            means[number] = spec.objective.loss(fmean(values))
    return min(means, key=lambda number: means[number]) if means else None


def interval(values: Sequence[float]) -> list[float] | None:
    """The 95 % t-interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return [fmean(values) - half, fmean(values) + half]


def summary(
    runs: Sequence[Mapping[str, Any]], recipes: Mapping[int, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What the reporting seeds say, winner first: mean, interval, runs, and whether it is a tie.

    A baseline is tied with the winner when the interval of their paired difference holds 0.
    """
    reported = [run for run in runs if run["round"] == REPORT]
    if not reported or any(run["state"] in claims.OPEN for run in reported):
        return []
    by_role = {
        role: {run["seed"]: run["value"] for run in reported if run["role"] == role}
        for role in ("winner", "baseline")
    }
    pairs = [
        value - by_role["baseline"][seed]
        for seed, value in by_role["winner"].items()
        if value is not None and by_role["baseline"].get(seed) is not None
    ]
    difference = interval(pairs)
    tied = difference is not None and difference[0] <= 0 <= difference[1]
    result = []
    for role, scores in by_role.items():
        values = [value for value in scores.values() if value is not None]
        if not values:
            continue
        number = next(run["number"] for run in reported if run["role"] == role)
        result.append(
            {
                "trial": number,
                "mean": fmean(values),
                "ci95": interval(values),
                "n": len(values),
                "tied": tied,
                "recipe": recipes[number],
                "role": role,
                "values": values,
                "failed": len(scores) - len(values),
                "metrics": _mean_metrics([run for run in reported if run["role"] == role]),
            }
        )
    return result


def _mean_metrics(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    scored = [run["metrics"] for run in runs if run["metrics"]]
    names = scored[0] if scored else {}
    return {
        name: fmean(metrics[name] for metrics in scored)
        for name in names
        if all(metrics[name] is not None for metrics in scored)
    }


def confirmed(search: Search) -> list[dict[str, Any]]:
    """The study's confirmed recipes, the winner first; empty until the reporting runs are done."""
    with search.database.read() as connection:
        runs = confirmations.everything(connection, search.study_id)
        numbers = {run["number"] for run in runs if run["round"] == REPORT}
        recipes = trials.recipes(connection, search.study_id, sorted(numbers))
    return summary(runs, recipes)


def request(search: Search, *, top: int | None, runs: int | None) -> None:
    """Ask for a confirmation of this size; one that differs from the last is planned anew.

    Raises StudyError when nothing can be confirmed, or `runs` is beyond the study's share.
    """
    with search.database.begin() as connection:
        confirmations.lock(connection, search.study_id)
        study = studies.lock(connection, search.study_id)
        spec = StudySpec.from_stored(study["definition"])
        counts = studies.counts(connection, search.study_id)
        if not counts[TrialState.COMPLETE]:
            raise StudyError(f"study {search.name!r} has no complete trial to confirm yet")
        most = allowed_runs(
            spec,
            started=sum(counts.values()),
            epochs_left=None,
            horizon=spec.horizon_epochs(search.steps_per_epoch),
        )
        if (runs or 1) > most:
            raise StudyError(
                f"--runs {runs or 1} is beyond a quarter of the study's trials; at most {most}"
            )
        old = spec.confirm or Confirm()
        new = Confirm(top=top or old.top, runs=runs or old.runs)
        if new != spec.confirm:
            confirmations.clear(connection, search.study_id)
            definition = spec.model_copy(update={"confirm": new}).to_dict()
            studies.change(connection, search.study_id, definition=definition)
