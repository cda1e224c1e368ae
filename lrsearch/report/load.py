"""From a study in the database to plain tables; nothing here knows how they are drawn."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from lrsearch.errors import StudyError, near_miss
from lrsearch.fusing.choice import Choice
from lrsearch.range_test.analysis import RangeTest
from lrsearch.recipe.recipe import Recipe
from lrsearch.report import lr_sequences, review
from lrsearch.report.model import (
    Confirmed,
    Cost,
    Curve,
    EngineRow,
    History,
    HistoryPoint,
    LrPoint,
    RangeRow,
    Report,
    TrialRow,
)
from lrsearch.report.text import confirmation
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import objective_value
from lrsearch.storage import curves, engines, range_tests, studies, trials
from lrsearch.storage.database import Database, explained
from lrsearch.storage.rows import Row
from lrsearch.trial.states import TrialState

#: So many of the best trials are drawn as curves.
TOP_CURVES = 5


def load_report(
    database: Database,
    name: str,
    confirmed: Sequence[Mapping[str, Any]],
    planned: Mapping[str, float | None] | None = None,
) -> Report:
    """The study as it stands. `confirmed` is what its confirmation gave, the recommended first.

    `planned` has the epochs of each part at most; without it the search's budget is taken.
    Raises StudyError with the near misses for a study that is not there.
    """
    with explained(database), database.read() as connection:
        study = _find(connection, name)
        spec = StudySpec.from_stored(study["definition"])
        study_id = study["study_id"]
        rows = trials.everything(connection, study_id)
        best_first = trials.ranked(
            connection,
            study_id,
            minimize=spec.objective.direction == "minimize",
            limit=max(1, len(rows)),
        )
        counts = studies.counts(connection, study_id)
        tests = range_tests.everything(connection, study_id)
        chosen = [Choice.from_row(row) for row in engines.of_study(connection, study_id)]
        audit = review.audit_of(connection, study)
        advice = review.advice_of(connection, study_id, spec, confirmed)
        cost = _cost(connection, study, spec, planned)
        by_id = {row["id"]: _trial_row(row) for row in rows}
        ranked = tuple(by_id[row["id"]] for row in best_first)
        entries = tuple(_confirmed(entry) for entry in confirmed)
        baseline = next((row for row in by_id.values() if row.kind == "baseline"), None)
        shown = _shown(ranked, baseline, entries)
        drawn = {
            row.trial: curves.of_study(connection, study_id, number=row.trial) for row in shown
        }
    best = ranked[0] if ranked else None
    winners = {entry.trial for entry in entries[:1]}
    return Report(
        name=study["name"],
        spec=spec,
        state=study["state"],
        counts=counts,
        cost=cost,
        best=best,
        baseline=baseline,
        confirmed=entries,
        trials=tuple(by_id.values()),
        ranked=ranked,
        history=_history(by_id.values(), spec, baseline),
        curves=tuple(_curve(row, drawn[row.trial], spec, best, winners) for row in shown),
        sequences=tuple(
            _sequence(row, drawn[row.trial], study["steps_per_epoch"]) for row in shown
        ),
        lr_points=_lr_points(by_id.values(), best, winners),
        range_tests=tuple(_range_row(row) for row in tests),
        engines=tuple(EngineRow(device=choice.device, title=choice.title) for choice in chosen),
        audit=audit,
        advice=advice,
        versions=study["versions"],
    )


def _find(connection: Connection, name: str) -> Row:
    study = studies.by_name(connection, name)
    if study is not None:
        return study
    known = [row["name"] for row in studies.everything(connection)]
    hint = near_miss(name, known) if known else "; there are none yet"
    raise StudyError(f"no study {name!r}{hint}")


def _cost(
    connection: Connection,
    study: Row,
    spec: StudySpec,
    planned: Mapping[str, float | None] | None,
) -> Cost:
    if planned is None:
        horizon = spec.horizon_epochs(study["steps_per_epoch"])
        total = study["trials_total"]
        bounds = [study["epochs_total"], None if total is None else total * horizon]
        planned = {"search": min((b for b in bounds if b is not None), default=None)}
    return Cost(
        epochs=studies.epochs(connection, study["study_id"]),
        planned={part: epochs for part, epochs in planned.items() if epochs is not None},
        seconds=studies.seconds(connection, study["study_id"]),
        trials_used=study["trials_used"],
        trials_total=study["trials_total"],
    )


def _trial_row(row: Row) -> TrialRow:
    return TrialRow(
        trial=row["number"],
        ticket=row["ticket"],
        kind=row["kind"],
        state=row["state"],
        value=row["value"],
        metrics=row["metrics"] or {},
        reason=row["reason"],
        epochs=row["epochs"],
        seconds=row["seconds"],
        attempts=row["attempt"],
        recipe=Recipe.from_dict(row["recipe"]) if row["recipe"] else None,
    )


def _range_row(row: Row) -> RangeRow:
    return RangeRow(
        optimizer=row["optimizer"],
        state=row["state"],
        reason=row["reason"],
        result=None if row["result"] is None else RangeTest.from_dict(row["result"]),
    )


def _confirmed(entry: Mapping[str, Any]) -> Confirmed:
    ci95 = entry["ci95"]
    return Confirmed(
        trial=entry["trial"],
        role=entry["role"],
        mean=entry["mean"],
        ci95=None if ci95 is None else (ci95[0], ci95[1]),
        n=entry["n"],
        tied=entry["tied"],
        failed=entry.get("failed", 0),
        values=tuple(entry["values"]),
        seeds=tuple(entry.get("seeds") or ()),
        metrics=entry.get("metrics") or {},
        recipe=Recipe.from_dict(entry["recipe"]),
        p=(entry.get("difference") or {}).get("p"),
        sentences=tuple(confirmation.sentences(entry)),
    )


def _shown(
    ranked: Sequence[TrialRow], baseline: TrialRow | None, confirmed: Sequence[Confirmed]
) -> list[TrialRow]:
    """The trials that are drawn one by one: the best few, what was confirmed, the baseline."""
    named = {entry.trial for entry in confirmed}
    shown = [row for i, row in enumerate(ranked) if i < TOP_CURVES or row.trial in named]
    if baseline is not None and baseline not in shown and baseline.recipe and baseline.epochs:
        shown.append(baseline)
    return shown


def _history(rows: Iterable[TrialRow], spec: StudySpec, baseline: TrialRow | None) -> History:
    points: list[HistoryPoint] = []
    best: float | None = None
    for row in rows:
        value = row.value if row.state == TrialState.COMPLETE else None
        if value is not None and (best is None or spec.objective.better(value, best)):
            best = value
        points.append(
            HistoryPoint(
                ticket=row.ticket, trial=row.trial, state=row.state, value=row.value, best=best
            )
        )
    return History(
        metric=spec.objective.metric,
        direction=spec.objective.direction,
        points=tuple(points),
        baseline=None if baseline is None else baseline.value,
    )


def _curve(
    trial: TrialRow,
    rows: Sequence[Row],
    spec: StudySpec,
    best: TrialRow | None,
    winners: set[int],
) -> Curve:
    assert trial.trial is not None
    return Curve(
        trial=trial.trial,
        label=trial.label(),
        best=trial is best,
        confirmed=trial.trial in winners,
        baseline=trial.kind == "baseline",
        epochs=tuple(row["epoch"] for row in rows),
        values=tuple(objective_value(row, spec) for row in rows),
    )


def _sequence(trial: TrialRow, rows: Sequence[Row], steps_per_epoch: int) -> lr_sequences.Sequence:
    assert trial.trial is not None
    assert trial.recipe is not None
    if trial.recipe.schedule["name"] == "plateau":
        seen = [(row["epoch"], row["lr"]) for row in rows]
        return lr_sequences.recorded_sequence(trial.trial, seen)
    if rows:  # a batch size of its own makes epochs of another length
        steps_per_epoch = max(1, round(rows[0]["step"] / rows[0]["epoch"]))
    return lr_sequences.lr_sequence(trial.trial, trial.recipe, steps_per_epoch)


def _lr_points(
    rows: Iterable[TrialRow], best: TrialRow | None, winners: set[int]
) -> tuple[LrPoint, ...]:
    return tuple(
        LrPoint(
            trial=row.trial,
            optimizer=row.recipe.optimizer["name"],
            lr=float(row.recipe.optimizer["lr"]),
            state=row.state,
            value=row.value,
            best=row is best,
            confirmed=row.trial in winners,
        )
        for row in rows
        if row.trial is not None and row.recipe is not None and row.state != TrialState.RUNNING
    )
