"""What is known of one trial."""

from typing import Any

from lrsearch.storage import checkpoints, curves, leases
from lrsearch.storage.leases import Kind
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.trial_commands import trial_row
from lrsearch.trial.states import TrialState


def details(search: OpenStudy, number: int) -> dict[str, Any]:
    """Everything about a trial, as `trial show --json` prints it. Raises StudyError if none."""
    row = trial_row(search, number)
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
