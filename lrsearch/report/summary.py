"""A study at a glance, as `study show --json` prints it and the answer is written from."""

from typing import Any

from lrsearch.errors import StudyError
from lrsearch.fusing.choice import Choice
from lrsearch.report import review
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import curves, engines, range_tests, studies, trials
from lrsearch.storage.rows import Row
from lrsearch.study import confirmation
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.status import is_finished
from lrsearch.trial.states import StudyState


def reviewed(search: OpenStudy) -> dict[str, Any]:
    """The summary, and what the study's trials, which are all read, say about the search itself."""
    summary = summarize(search)
    with search.database.read() as connection:
        study = studies.by_id(connection, search.study_id)
        assert study is not None
        spec = StudySpec.from_stored(study["definition"])
        audit = review.audit_of(connection, study)
        advice = review.advice_of(connection, search.study_id, spec, summary["confirmed"])
    return {**summary, "audit": audit, "advice": advice}


def summarize(search: OpenStudy) -> dict[str, Any]:
    """State, objective, budget, epochs spent, counts, the search's best and what is confirmed."""
    finished = is_finished(search)
    confirmed = confirmation.confirmed(search)
    with search.database.read() as connection:
        study = studies.by_id(connection, search.study_id)
        assert study is not None
        spec = StudySpec.from_stored(study["definition"])
        minimize = spec.objective.direction == "minimize"
        best = trials.ranked(connection, search.study_id, minimize=minimize, limit=1)
        baseline = trials.baseline(connection, search.study_id)
        counts = studies.counts(connection, search.study_id)
        epochs = studies.epochs(connection, search.study_id)
        seconds = studies.seconds(connection, search.study_id)
        elapsed = studies.elapsed(connection, search.study_id)
        tests = range_tests.everything(connection, search.study_id)
        chosen = engines.of_study(connection, search.study_id)
    paused = study["state"] == StudyState.PAUSED
    return {
        "name": search.name,
        "state": "paused" if paused else "finished" if finished else "open",
        "objective": spec.objective.model_dump(),
        "budget": _budget(study, elapsed),
        "epochs": epochs,
        "seconds": seconds,
        "counts": counts,
        "range_tests": [_range_test(row) for row in tests],
        "best": _trial(best[0]) if best else None,
        "baseline": _trial(baseline) if baseline and baseline["recipe"] else None,
        "confirmed": confirmed,
        "origin": study["origin"],
        "engines": [_engine(row) for row in chosen],
    }


def _trial(row: Row) -> dict[str, Any]:
    return {
        "trial": row["number"],
        "value": row["value"],
        "recipe": row["recipe"],
        "metrics": row["metrics"],
    }


def _engine(row: Row) -> dict[str, Any]:
    """What workers on a device train with, and what was measured for it."""
    choice = Choice.from_row(row)
    return {
        "engine": choice.engine,
        "size": choice.size,
        "speedup": choice.speedup,
        "reason": choice.reason,
        "device": choice.device,
        "precision": choice.precision,
        "fuse": row["wanted"],
        "probe_seconds": choice.probe_seconds,
        "calibration_seconds": choice.calibration_seconds,
        "title": choice.title,
    }


def _range_test(row: Row) -> dict[str, Any]:
    """A range test without its ramps."""
    result = row["result"] or {}
    readings = ("edge", "min_over_10", "valley", "steepest", "window")
    return {
        "optimizer": row["optimizer"],
        "state": row["state"],
        "reason": row["reason"],
        **{key: result.get(key) for key in readings},
        "seeds": len(result.get("ramps", [])),
        "epochs": row["epochs"],
    }


def _budget(study: Row, elapsed: float) -> dict[str, dict[str, float]]:
    totals = {
        "trials": (study["trials_total"], study["trials_used"]),
        "runs": _runs(study),
        "epochs": (study["epochs_total"], study["epochs_used"]),
        "time": (study["seconds_total"], elapsed),
    }
    return {
        name: {"total": total, "used": used}
        for name, (total, used) in totals.items()
        if total is not None
    }


def _runs(study: Row) -> tuple[float | None, float]:
    """Epochs as full runs, where the budget is written so: their number in all, and used."""
    spec = StudySpec.from_stored(study["definition"])
    horizon = spec.horizon_epochs(study["steps_per_epoch"])
    return spec.budget.runs, study["epochs_used"] / horizon


def trial_rows(search: OpenStudy) -> list[dict[str, Any]]:
    """Every started trial, as `study trials --json` prints it."""
    with search.database.read() as connection:
        rows = trials.everything(connection, search.study_id)
    return [
        {
            "trial": row["number"],
            "state": row["state"],
            "value": row["value"],
            "epochs": row["epochs"],
            "attempts": row["attempt"],
            "reason": row["reason"],
            "seconds": row["seconds"],
            "recipe": row["recipe"],
            "kind": row["kind"],
            "metrics": row["metrics"],
        }
        for row in rows
    ]


def curve_rows(
    search: OpenStudy, *, number: int | None, all_attempts: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Curves as `study curves` prints them, and the columns in their order.

    Raises StudyError if there is no trial `number`.
    """
    with search.database.read() as connection:
        if number is not None and trials.by_number(connection, search.study_id, number) is None:
            raise StudyError(f"study {search.name!r} has no trial {number}")
        rows = curves.of_study(
            connection, search.study_id, number=number, all_attempts=all_attempts
        )
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    before = ["trial", "attempt", "validation", "epoch", "step", "lr", "train_loss", "val_loss"]
    keys = [*before, "val_loss_ema", *metrics, "seconds"]
    flat = [{**row, **row["metrics"], "trial": row["number"]} for row in rows]
    return [{key: row.get(key) for key in (*keys, "grad_norm")} for row in flat], keys
