"""What a study says about itself: how often pruning erred, and what more trials would bring."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import stdev
from typing import Any

from sqlalchemy import Connection

from lrsearch.advice import lr_edges
from lrsearch.advice.more_trials import LEAST_TRIALS, gain_of_doubling
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import audited_trials, range_tests, trials
from lrsearch.storage.rows import Row
from lrsearch.trial.pruning_audit import LEAST_AUDITED, Audited, Rate, falsely_pruned, rates
from lrsearch.trial.states import TrialState

#: What tells one trial from another, and is the same in a copy.
COPIED = ("started_at", "ended_at", "seconds", "value", "recipe")


def audit_of(connection: Connection, study: Row) -> dict[str, Any]:
    """The false-prune rate of a study, pooled over the studies of its project.

    `families` has those with enough audited trials. `share` and `ci95` are None for too few.
    """
    rows = _each_once(audited_trials.of_project(connection, study), study["study_id"])
    verdicts, pooled = [], 0
    for study_id, mine in groupby(rows, key=lambda row: row["study_id"]):
        pooled += 1
        verdicts += _verdicts(connection, study_id, list(mine))
    own = sum(row["study_id"] == study["study_id"] for row in rows)
    overall, families = rates(verdicts)
    return {
        **_rate(overall),
        "own": own,
        "studies": pooled,
        "least": LEAST_AUDITED,
        "families": {name: _rate(found) for name, found in families.items()},
    }


def _each_once(rows: Sequence[Row], own: int) -> list[Row]:
    """Without the copies of trials that an extended study shares with its successor.

    Where the study `own` has one it is that which counts, else the youngest study's.
    """
    found: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: (row["study_id"] == own, row["study_id"])):
        found[tuple(str(row[name]) for name in COPIED)] = row
    kept = {row["id"] for row in found.values()}
    return [row for row in rows if row["id"] in kept]


def _verdicts(connection: Connection, study_id: int, rows: Sequence[Row]) -> list[tuple[str, bool]]:
    sign = 1.0 if audited_trials.direction(connection, study_id) == "minimize" else -1.0
    started, values = audited_trials.ends(connection, study_id)
    audited = [
        Audited(
            family=row["recipe"]["schedule"]["name"],
            loss=None if row["value"] is None else sign * row["value"],
        )
        for row in rows
    ]
    return falsely_pruned(audited, losses=[sign * value for value in values], started=started)


def _rate(found: Rate) -> dict[str, Any]:
    return {
        "audited": found.audited,
        "false": found.false,
        "share": found.share,
        "ci95": None if found.ci95 is None else list(found.ci95),
    }


def advice_of(
    connection: Connection,
    study_id: int,
    spec: StudySpec,
    confirmed: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What twice the trials would gain, and where the answer lies at an edge.

    The answer is the winner of `confirmed`, else the search's best. `gain` is None for too few
    trials, `seed_sd` (of the confirmed values) for fewer than two.
    """
    rows = [row for row in trials.everything(connection, study_id) if row["recipe"]]
    ended = [row for row in rows if row["state"] != TrialState.RUNNING]
    winner = next((entry for entry in confirmed if entry["role"] != "baseline"), None)
    complete, stopped = (
        [spec.objective.loss(row["value"]) for row in ended if _has_value(row, state)]
        for state in (TrialState.COMPLETE, TrialState.PRUNED)
    )
    without_value = len(ended) - len(complete) - len(stopped)
    gain = gain_of_doubling(complete, stopped, without_value=without_value)
    if len(ended) < LEAST_TRIALS:
        gain = None
    values = winner["values"] if winner is not None else []
    best = _best(ended, spec)
    answer = winner or (best and {"trial": best["number"], "recipe": best["recipe"]})
    return {
        "gain": None
        if gain is None
        else {"trials": gain.trials, "expected": gain.expected, "ci95": [0.0, gain.high]},
        "seed_sd": stdev(values) if len(values) > 1 else None,
        "warnings": _warnings(connection, study_id, spec, answer, ended) if answer else [],
    }


def _has_value(row: Row, state: TrialState) -> bool:
    return row["state"] == state and row["value"] is not None


def _best(rows: Sequence[Row], spec: StudySpec) -> Row | None:
    complete = [row for row in rows if _has_value(row, TrialState.COMPLETE)]
    return min(complete, key=lambda row: spec.objective.loss(row["value"]), default=None)


def _warnings(
    connection: Connection,
    study_id: int,
    spec: StudySpec,
    answer: Mapping[str, Any],
    rows: Sequence[Row],
) -> list[dict[str, Any]]:
    recipe = answer["recipe"]
    name = recipe["optimizer"]["name"]
    about = {"trial": answer["trial"], "optimizer": name, "lr": recipe["optimizer"]["lr"]}
    tests = range_tests.everything(connection, study_id)
    tested = next((test["result"] for test in tests if test["optimizer"] == name), None)
    cliff = lr_edges.stability_edge(
        recipe,
        spec.space,
        [
            (row["recipe"], row["state"] == TrialState.DIVERGED)
            for row in rows
            if row["state"] != TrialState.FAILED  # for reasons of its own
        ],
        tested,
    )
    end = lr_edges.range_edge(recipe, spec.space)
    found: list[dict[str, Any]] = []
    if end is not None and not (end.side == "high" and cliff is not None):
        found.append(
            {"kind": "range", **about, "side": end.side, "edge": end.edge} | {"line": end.line}
        )
    if cliff is not None:
        found.append({"kind": "stability", **about, "edge": cliff.edge, "diverged": cliff.diverged})
    return found
