"""What a process of the user's code that has ended says about itself."""

import os
import signal
from pathlib import Path

from lrsearch.training.failures import ProcessKilledError, TrialFailedError


def ended_badly(who: str, status: int | None, output: Path) -> TrialFailedError:
    """What a process that ended with this status has come to; killed by SIGKILL, it may go on."""
    if status is None:
        how = "does not answer"
    else:
        how = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
    said = _last_line(output)
    text = f"{who} {how}" + (f": {said}" if said else "")
    return ProcessKilledError(text) if status == -signal.SIGKILL else TrialFailedError(text)


def _last_line(output: Path) -> str:
    """The last line that is not empty of what a process printed, at most 200 characters."""
    try:
        with output.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
