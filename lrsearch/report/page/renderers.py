"""Processes that render charts beside the one which makes them.

Vega runs in an engine of JavaScript that takes a second of CPU to start, and one process has one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import IO

import vl_convert

from lrsearch.child_process.closing import Closing

#: More render no faster than the charts are made.
MOST = 2
#: Makes Vega load all that it draws with.
FIRST = json.dumps(
    {
        "data": {"values": [{"at": 1}]},
        "mark": "point",
        "encoding": {"x": {"field": "at", "type": "quantitative"}},
    }
)

Process = subprocess.Popen[str]


def render(specification: str) -> str:
    """A Vega-Lite specification as SVG without paper."""
    svg: str = vl_convert.vegalite_to_svg(specification, config={"background": "transparent"})
    return svg


class Renderers(Closing):
    """Renders charts, in processes of its own once they have begun; a context manager."""

    def __init__(self) -> None:
        self._processes: list[Process] = []

    def begin(self) -> None:
        """Start as many processes as there are cores, at most `MOST`.

        Each gets ready once the one before it is, so that another core is left to the study.
        """
        turn, turns = os.pipe()  # it is the turn of the first
        for _ in range(min(MOST, os.cpu_count() or 1)):
            os.close(turns)
            after, turns = os.pipe()
            self._processes.append(_started(turn, turns))
            os.close(turn)
            turn = after
        os.close(turn)
        os.close(turns)

    def rendered(self, specifications: Iterable[str]) -> Iterator[str]:
        """Each as `render` gives it, in their order."""
        if not self._processes:
            return map(render, specifications)
        free: SimpleQueue[Process] = SimpleQueue()
        for process in self._processes:
            free.put(process)

        def rendered(specification: str) -> str:
            process = free.get()
            try:
                return _rendered_by(process, specification)
            finally:
                free.put(process)

        with ThreadPoolExecutor(len(self._processes)) as threads:
            return iter(list(threads.map(rendered, specifications)))

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what is not written yet cannot be written any more
                    assert pipe is not None
                    pipe.close()
        self._processes = []


def _started(turn: int, turns: int) -> Process:
    """A process that waits until the other end of `turn` is closed, and then closes `turns`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "lrsearch.report.page.renderers", str(turn), str(turns)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[turn, turns],
        start_new_session=True,  # Ctrl-C reaches the process alone that started it
        text=True,
        encoding="utf-8",
    )


def _rendered_by(process: Process, specification: str) -> str:
    """Rendered there, or here if it was killed or cannot do it: an error is raised here then."""
    try:
        _write(process.stdin, specification)
        answer = _read(process.stdout)
    except OSError:  # it is dead
        answer = ""
    return answer or render(specification)


def _write(stream: IO[str] | None, text: str) -> None:
    assert stream is not None
    stream.write(json.dumps(text) + "\n")
    stream.flush()


def _read(stream: IO[str] | None) -> str:
    """The next text; empty at the end."""
    assert stream is not None
    line = stream.readline()
    return str(json.loads(line)) if line.endswith("\n") else ""


def main() -> None:
    """Render what comes, a JSON string a line, until no more can come."""
    turn, turns = map(int, sys.argv[1:])
    os.read(turn, 1)  # nothing, as soon as the other end is closed
    os.close(turn)
    render(FIRST)
    os.close(turns)
    while specification := _read(sys.stdin):
        _write(sys.stdout, render(specification))


if __name__ == "__main__":
    main()
