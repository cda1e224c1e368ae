"""A command is run until its first report, to see that its metrics are found."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lrsearch.command.buffering import held_back
from lrsearch.command.interpreter import missing_module
from lrsearch.command.lines import Lines
from lrsearch.command.reading import Reader, Reading
from lrsearch.errors import TaskError

#: How often the output is looked at, in seconds.
_LOOK_SECONDS = 0.05
#: Where several reports come at once, the command has so many seconds to end by itself: if it does,
#: it has kept its output back until then.
_END_SECONDS = 1.0
#: An error shows so many characters of the last line.
_SHOWN_CHARACTERS = 200


class Process(Protocol):
    """A command that runs."""

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""


@dataclass(frozen=True, kw_only=True)
class FirstReport:
    """What a command has shown."""

    reading: Reading
    #: From its start to the report.
    seconds: float
    #: What keeps trials from being pruned, in one line; None if nothing was found.
    warning: str | None

    def __str__(self) -> str:
        values = [f"{name} {value:.6g}" for name, value in self.reading.metrics.items()]
        counted = {"epoch": self.reading.epoch, "step": self.reading.step}
        values += [f"{name} {count:g}" for name, count in counted.items() if count is not None]
        return f"first report after {self.seconds:.1f} s: {', '.join(values)}"


def first_report(
    process: Process, reader: Reader, output: Path, argv: Sequence[str], *, timeout: float
) -> FirstReport:
    """Wait for the first report of a command that was just started; the caller ends it.

    `output` is where it prints, `timeout` in seconds. Raises TaskError in one line, which shows
    what there is in place of a report.
    """
    started, lines = time.monotonic(), Lines(output)
    line_times: list[float] = []
    while True:
        status = process.poll()  # before its output is read: the last lines are there then
        readings = reader.poll(ended=status is not None)
        seconds = time.monotonic() - started
        line_times += [seconds] * len(lines.poll())
        if readings:
            if len(readings) > 1 and status is None:
                status = _status_soon(process)
            report_times = [seconds] * len(readings)
            kept = status is not None and held_back(line_times, report_times, seconds, argv)
            return FirstReport(reading=readings[0], seconds=seconds, warning=kept or None)
        if status is not None:
            raise TaskError(_ended(status, reader, output, argv))
        if seconds > timeout:
            raise TaskError(f"no report within {timeout:g} s: {reader.explain()}")
        time.sleep(_LOOK_SECONDS)


def _status_soon(process: Process) -> int | None:
    deadline = time.monotonic() + _END_SECONDS
    while (status := process.poll()) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return status


def _ended(status: int, reader: Reader, output: Path, argv: Sequence[str]) -> str:
    if status == 0:
        return f"the command ended without a report: {reader.explain()}"
    how = f"signal {-status}" if status < 0 else f"status {status}"
    printed = Lines(output).poll(ended=True)
    if not printed:
        return f"the command ended with {how} and printed nothing"
    last = printed[-1].strip()[:_SHOWN_CHARACTERS]
    return f"the command ended with {how}: {last}{missing_module(last, argv)}"
