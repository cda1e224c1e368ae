"""Whether a command keeps its output back until it ends, so that nothing can be pruned."""

from collections.abc import Sequence
from pathlib import PurePath

#: Reports that came within so much of the run's time came at once; at least and at most so many
#: seconds.
_AT_ONCE_SHARE, _AT_ONCE_SECONDS = 0.02, (0.05, 0.5)
#: A run shorter than this, in seconds, is too short to tell.
_TOO_SHORT = 1.0


def held_back(
    line_times: Sequence[float], report_times: Sequence[float], seconds: float, argv: Sequence[str]
) -> str | None:
    """What to change where all reports came at once at the end; None if they came one by one.

    `line_times` and `report_times` are when lines and reports came, in seconds since the command
    was started, and `seconds` is when it ended, or when it was ended.
    """
    if len(report_times) < 2 or seconds < _TOO_SHORT:
        return None
    least, most = _AT_ONCE_SECONDS
    at_once = min(max(least, _AT_ONCE_SHARE * seconds), most)
    # A process may take long to end after it has written all.
    if report_times[-1] - report_times[0] > at_once or report_times[0] < seconds / 2:
        return None
    # What came long before is a block of output that was full, or was printed to stderr.
    early = sum(report_times[0] - time > at_once for time in line_times)
    lines = f"; {early} other lines came earlier" if early else ""
    return (
        f"all {len(report_times)} reports came together after {report_times[0]:.1f} of "
        f"{seconds:.1f} seconds{lines}: the output is kept in a buffer, so nothing can be pruned; "
        f"{advice(argv)}"
    )


def advice(argv: Sequence[str]) -> str:
    """How this command can be made to write each line when it prints it."""
    for place, word in enumerate(argv[:-1]):
        if PurePath(word).name.startswith("python"):
            if "-u" in argv[place + 1 :]:
                return "print(..., flush=True) after each validation"
            return f"write {word} -u, or print(..., flush=True)"
    return f"write stdbuf -oL {argv[0]}, or let the script flush its output"
