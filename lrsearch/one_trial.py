"""One trial: what is known of it, its end before its time, and the same once more."""

from collections.abc import Mapping
from typing import Any

from lrsearch.errors import StudyError
from lrsearch.recipe import Recipe
from lrsearch.storage import checkpoints, curves, leases, trials, workers
from lrsearch.storage.leases import Kind
from lrsearch.storage.rows import Row
from lrsearch.storage.tables import TrialState
from lrsearch.study.create import enqueue
from lrsearch.study.search import Assignment, Outcome, Search

STOPPED = "stopped by lrsearch trial stop"


def _row(search: Search, number: int) -> Row:
    with search.database.read() as connection:
        row = trials.by_number(connection, search.study_id, number)
    if row is None:
        raise StudyError(
            f"study {search.name!r} has no trial {number}; `lrsearch study trials {search.name}` "
            f"lists them"
        )
    return row


def details(search: Search, number: int) -> dict[str, Any]:
    """Everything about a trial, as `trial show --json` prints it. Raises StudyError if none."""
    row = _row(search, number)
    with search.database.read() as connection:
        curve = curves.of_trial(connection, row["id"])
        lease = leases.of_item(connection, Kind.TRIAL, row["id"])
        saved = checkpoints.newest_first(connection, Kind.TRIAL, row["id"])
    last = curve[-1] if curve else None
    running = row["state"] == TrialState.RUNNING
    kept = ("kind", "state", "value", "best_validation", "metrics", "reason", "seconds", "recipe")
    return {
        "trial": number,
        "ticket": row["ticket"],
        **{key: row[key] for key in kept},
        "epochs": last["epoch"] if running and last else row["epochs"],
        "validations": len(curve),
        "val_loss": last["val_loss"] if last else None,
        "attempts": row["attempt"],
        "deaths": row["deaths"],
        "worker": row["worker"],
        "lease_left": lease["left"] if running and lease and row["worker"] else None,
        "checkpoints": [{"step": item["step"], "bytes": item["bytes"]} for item in saved],
    }


def details_text(study: str, trial: Mapping[str, Any]) -> str:
    """The same for people."""
    recipe = trial["recipe"]
    lines = [
        f"trial {trial['trial']} of {study}: {trial['state']}"
        + (f" ({trial['reason']})" if trial["reason"] else ""),
        f"  {Recipe.from_dict(recipe).title()}" if recipe else "  no recipe yet",
        f"  value {_number(trial['value'])}, last validation loss {_number(trial['val_loss'])}",
        f"  {trial['epochs']:g} epochs, {trial['validations']} validations, "
        f"attempt {trial['attempts']}",
    ]
    if trial["deaths"]:
        lines.append(f"  lost with its worker {trial['deaths']} times since its last checkpoint")
    if trial["worker"]:
        left = trial["lease_left"]
        lines.append(f"  worker {trial['worker']}" + (f", lease for {left:.0f} s" if left else ""))
    elif trial["state"] == TrialState.RUNNING:
        lines.append("  no worker holds it; the next free one goes on with it")
    for item in trial["checkpoints"]:
        lines.append(f"  checkpoint at step {item['step']}, {item['bytes'] / 1e6:.1f} MB")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def stop(search: Search, number: int) -> str:
    """End a running trial as pruned; what will happen, or has. Raises StudyError if it has ended.

    Its worker hears of it when it renews the lease; a trial that nobody holds ends now.
    """
    row = _row(search, number)
    if row["state"] != TrialState.RUNNING:
        raise StudyError(f"trial {number} of {search.name!r} has ended already: {row['state']}")
    again = f"another worker begins trial {number} of {search.name!r} just now; try again"
    lease = search.spec.lease.seconds
    with search.database.begin() as connection:
        if leases.ask_to_stop(connection, Kind.TRIAL, row["id"]):
            return (
                f"trial {number} is asked to stop; its worker ends it within {lease / 3:g} s, or "
                f"whoever takes it over from a dead one"
            )
        if row["recipe"] is None:
            raise StudyError(again)
        claim = leases.take_free(connection, Kind.TRIAL, row["id"], workers.identity(), lease)
        curve = curves.of_trial(connection, row["id"])
    if claim is None:
        raise StudyError(again)
    assignment = Assignment(
        claim=claim,
        trial_id=row["trial_id"],
        number=number,
        kind=row["kind"],
        recipe=Recipe.from_dict(row["recipe"]),
    )
    outcome = Outcome(
        state=TrialState.PRUNED,
        reason=STOPPED,
        epochs=curve[-1]["epoch"] if curve else 0.0,
        seconds=curve[-1]["seconds"] if curve else 0.0,
        progress=0.0,
        start_loss=0.0,
    )
    if not search.tell(assignment, outcome):
        raise StudyError(again)
    return f"trial {number} is stopped"


def rerun(search: Search, number: int) -> Recipe:
    """Enqueue a trial's recipe as a new trial. Raises StudyError if it has none yet."""
    row = _row(search, number)
    if row["recipe"] is None:
        raise StudyError(f"trial {number} of {search.name!r} has no recipe yet; try again")
    return enqueue(search, row["recipe"], where=f"trial {number}")
