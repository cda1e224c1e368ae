"""The workers of chaos.py, and a supervisor that starts another for each that ends too early.

A worker is a process of its own that runs `lrsearch worker`. It is forked from one that has
imported torch and Optuna, since a fresh interpreter needs 5 s of CPU time before its first step.
"""

import gc
import math
import multiprocessing
import os
import random
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_processes = multiprocessing.get_context("forkserver")
#: The clock first: what is imported after it keeps the time that it tells.
PRELOAD = [
    "chaos_clock",
    "torch._dynamo",
    "lrsearch.worker.worker_process",
    "lrsearch.preflight.task",
]
#: A supervisor needs so long to notice an end and start another process, in seconds.
RESTART_SECONDS = (0.2, 1.5)
#: After so long a worker has set up what it does on signals, and has begun to work.
BEGIN_SECONDS = 2.0
#: What asks a worker to leave.
LEAVE = (signal.SIGTERM, signal.SIGUSR1)
#: A worker that a signal asks to leave has so long before it is written down as late.
LEAVE_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Disguise:
    """What a worker believes of its machine."""

    #: As `socket.gethostname` says it: workers of other hosts cannot see that a process is gone.
    host: str
    #: Seconds that its clock is ahead.
    clock: int = 0
    zone: str = "UTC"


def _be_worker(
    words: Sequence[str],
    output: tuple[Path, Path],
    environment: Mapping[str, str],
    disguise: Disguise,
) -> None:
    """Run `lrsearch WORDS` in this process, as a shell would."""
    import chaos_clock

    from lrsearch.cli import main

    for number, path in enumerate(output, start=1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    os.environ.update(environment)
    chaos_clock.set_wrong(disguise.clock, disguise.zone)
    socket.gethostname = lambda: disguise.host
    os.chdir(output[0].parent)
    multiprocessing.set_start_method("fork", force=True)  # as everywhere outside of a forkserver
    sys.argv = ["lrsearch", *words]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code: Any = 0
    try:
        main()
    except SystemExit as ending:
        code = ending.code
    gc.collect()  # closes databases, as the end of an interpreter does
    sys.exit(code)


class Worker:
    """One worker process: what it was told, and how it ended."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        disguise: Disguise,
    ) -> None:
        folder.mkdir()
        self.folder, self.disguise = folder, disguise
        self.log = folder / "log"
        here = Path(__file__).parent
        words = [*command, "--task-dir", str(here), "--log-file", str(self.log)]
        output = (folder / "out", folder / "err")
        self.process = _processes.Process(
            target=_be_worker, args=(words, output, dict(environment), disguise)
        )  # no daemon: those may have no processes that read data
        self.process.start()
        self.started = time.monotonic()
        #: Signals and when they were sent.
        self.sent: list[tuple[signal.Signals, float]] = []
        self.stopped = False
        #: Whether something was done to it that may cost it what it holds.
        self.hurt = False
        self.ended: float | None = None
        #: Between it and the database, if there is one.
        self.proxy: Any = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def alive(self) -> bool:
        if self.ended is None and self.process.exitcode is not None:
            self.ended = time.monotonic()
        return self.ended is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal and write it down."""
        self.hurt = self.hurt or number in (signal.SIGKILL, signal.SIGSTOP)
        if number == signal.SIGSTOP:
            self.stopped = True
        if number == signal.SIGCONT:
            self.stopped = False
        self.sent.append((number, time.monotonic()))
        if self.alive and self.process.pid is not None:
            os.kill(self.process.pid, number)

    def was_sent(self, *numbers: signal.Signals) -> bool:
        return any(number in numbers for number, _ in self.sent)

    @property
    def words(self) -> str:
        """Everything that it said."""
        files = (self.folder / "err", self.log)
        return "\n".join(file.read_text() for file in files if file.exists())

    @property
    def logged(self) -> list[str]:
        """The lines of its log."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def last_words(self) -> str:
        """The last line on stderr."""
        err = self.folder / "err"
        lines = err.read_text().splitlines() if err.exists() else []
        return lines[-1] if lines else ""


class Fleet:
    """So many workers at any time, until one of them says that the study is finished."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        workers: int,
        chance: random.Random,
        entrance: int | None = None,
    ) -> None:
        """`entrance` is the database's port: each worker goes there through a proxy of its own."""
        self.entrance = entrance
        self.folder, self.command, self.environment = folder, command, environment
        self.chance = chance
        self.everyone: list[Worker] = []
        self._started: list[Worker] = []
        self.supervised = True
        #: Places of the fleet: the worker there, or when the next one starts.
        self._places: list[Worker | float] = []
        self._disguises: dict[int, Disguise] = {}
        _processes.set_forkserver_preload(PRELOAD)
        for place in range(workers):
            self._places.append(self._start(place))

    def _start(self, place: int) -> Worker:
        # Every second worker is on a machine of its own: its death shows by its lease alone.
        host = "here" if place % 2 == 0 else f"machine-{place}"
        disguise = self._disguises.pop(place, Disguise(host=host))
        folder = self.folder / f"worker-{len(self.everyone):03d}"
        worker = self.another(folder, self.command, disguise)
        self.everyone.append(worker)
        return worker

    def another(self, folder: Path, command: Sequence[str], disguise: Disguise) -> Worker:
        """A worker that is not one of the fleet's; it ends with it."""
        environment, proxy = self.environment, None
        if self.entrance is not None:
            from proxy import Proxy

            proxy = Proxy(self.entrance)
            url = environment["LRSEARCH_STORAGE"]
            own = url.replace(f":{self.entrance}/", f":{proxy.port}/")
            environment = {**environment, "LRSEARCH_STORAGE": own}
        worker = Worker(folder, command, environment, disguise)
        worker.proxy = proxy
        self._started.append(worker)
        return worker

    @property
    def alive(self) -> list[Worker]:
        return [worker for worker in self.everyone if worker.alive]

    @property
    def active(self) -> list[Worker]:
        """Workers that a signal has not stopped; those that have begun, if there are any."""
        active = [worker for worker in self.alive if not worker.stopped]
        begun = [w for w in active if time.monotonic() - w.started > BEGIN_SECONDS]
        return begun or active

    def disguise_next(self, worker: Worker, *, clock: int, zone: str) -> None:
        """Let the worker that takes this one's place have another clock and zone."""
        place = self._places.index(worker)
        self._disguises[place] = Disguise(host=worker.disguise.host, clock=clock, zone=zone)

    @property
    def finished(self) -> bool:
        """Whether a worker that nobody asked to leave has left in order."""
        return any(
            not worker.alive and worker.process.exitcode == 0 and not worker.was_sent(*LEAVE)
            for worker in self.everyone
        )

    def supervise(self) -> None:
        """Start another worker in each place that has been empty for a while."""
        now = time.monotonic()
        for place, holder in enumerate(self._places):
            if isinstance(holder, Worker):
                if not holder.alive:
                    self._places[place] = now + self.chance.uniform(*RESTART_SECONDS)
            elif self.supervised and not self.finished and now >= holder:
                self._places[place] = self._start(place)

    def fill(self) -> None:
        """Start a worker in every empty place, now."""
        self._places = [
            holder if isinstance(holder, Worker) and holder.alive else self._start(place)
            for place, holder in enumerate(self._places)
        ]

    def close(self) -> None:
        """Kill what still lives."""
        for worker in self._started:
            if worker.alive:
                worker.process.kill()
        for worker in self._started:
            worker.process.join()
            if worker.proxy is not None:
                worker.proxy.close()


#: What a worker says when it could not even begin.
REFUSAL = re.compile(r"Error: storage .+")
#: What Python's own thread in a process that reads data says when its worker was killed while it
#: fetched a batch.
OF_DATA = re.compile(
    r"Traceback \(most recent call last\):\n"
    r'  File "[^"]*/resource_sharer\.py", line \d+, in _serve\n(?:  .*\n)+\S.*'
)
#: How a line of a log begins.
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+ [A-Z]+ ")


def complaints(worker: Worker) -> list[str]:
    """What is wrong with how a worker behaved and ended: nothing of it may happen."""
    code = worker.process.exitcode
    # On a busy machine it listens to signals later; it has said nothing before it does.
    early = worker.started + 5 * BEGIN_SECONDS if worker.logged else math.inf
    signals = {
        -number
        for number, when in worker.sent
        if number == signal.SIGKILL or (number in LEAVE and when < early)
    }
    found = []
    if code == 1 and not refused(worker):
        found.append(f"ended with 1: {worker.last_words}")
    if code not in (0, 1) and code not in signals:
        found.append(f"ended with {code}, sent {worker.sent}")
    words = OF_DATA.sub("", worker.words)
    if "Traceback" in words:
        lines = words.splitlines()
        found.append(f"shows a traceback that ends with {last_error(lines)}")
    if long := [line for line in worker.logged if not LOG_LINE.match(line)]:
        found.append(f"logs more than a line at once: {long[0]}")
    late = leaving_seconds(worker)
    if late is not None and late > LEAVE_SECONDS:
        found.append(f"took {late:.1f} s to leave when asked")
    return found


def refused(worker: Worker) -> bool:
    """Whether it ended with 1 and one line because the database was out of reach at its start."""
    silent = worker.process.exitcode == 1 and not worker.logged
    return silent and bool(REFUSAL.match(worker.last_words))


def last_error(lines: Sequence[str]) -> str:
    """The line of the error below the last traceback."""
    start = max(i for i, line in enumerate(lines) if "Traceback" in line)
    return next((line for line in lines[start + 1 :] if not line.startswith(" ")), "")


def leaving_seconds(worker: Worker) -> float | None:
    """How long it took to leave after SIGTERM or SIGUSR1; None if it was not asked or was hurt."""
    asked = [when for number, when in worker.sent if number in LEAVE]
    others = worker.was_sent(signal.SIGKILL, signal.SIGSTOP)
    if not asked or others or worker.ended is None:
        return None
    return worker.ended - asked[0]


def exits(workers: Sequence[Worker]) -> dict[str, int]:
    """How many workers ended in which way."""
    return dict(Counter(_ending(worker) for worker in workers))


def _ending(worker: Worker) -> str:
    code = worker.process.exitcode
    if refused(worker):
        return "refused at start"
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return str(code)
