"""How long the command of a whole study takes, phase by phase, before a change and after it.

Both sides run `lrsearch run` on the same study file in turn, each from an empty folder. Where one
phase ends is read from the study's own rows, so that any revision with these tables can be
measured. Processor time is that of the command and of all its processes, read from /proc ten times
a second. A ratio is that of two runs that follow each other; the spread is that of the rounds.
"""

import argparse
import compileall
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
from installs import CommandError, Install, find_install, last_line

ROOT = Path(__file__).parents[1]
#: Studies by name: `budget` and `epochs` in place of the quickstart's own.
STUDIES = {
    "quickstart": "epochs: 30\nbudget: {runs: 25}\n",
    "trials60": "epochs: 30\nbudget: {trials: 60}\n",
    "trials200": "epochs: 30\nbudget: {trials: 200}\n",
    "tiny": "epochs: 2\nbudget: {trials: 2}\nrange_test: none\nconfirm: none\n",
}
HEAD = "name: digits\ntask: digits.py:task\nobjective: val_loss\nspace: default\nseed: 0\n"
#: Each ends where the next begins; the last with the command.
PHASES = (
    "until the study is created",
    "until its first worker works",
    "range test",
    "search",
    "confirmation, workers' end",
    "report",
)
#: Between two looks at the processes' time.
LOOK_SECONDS = 0.1
ENDS = """\
SELECT lr_study.created_at, MIN(lr_worker.started_at), first.at, last.at, MAX(lr_worker.ended_at)
FROM lr_study, lr_worker, (SELECT MIN(started_at) AS at FROM lr_trial) AS first,
(SELECT MAX(ended_at) AS at FROM lr_trial) AS last
"""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Seconds of each phase of one command."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]


class Meter(threading.Thread):
    """Notes the processor time of a process and all below it, over and over."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root, self._ended = psutil.Process(pid), threading.Event()
        #: Moment and seconds of processor time until then.
        self.seen: list[tuple[float, float]] = [(time.time(), 0.0)]
        #: Of each process, by number and start: also those that have ended count.
        self._used: dict[tuple[int, float], float] = {}

    def run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self._look()

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _look(self) -> None:
        try:
            processes = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in processes:
            try:
                times = process.cpu_times()
                self._used[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue  # ended meanwhile; what it had used is noted
        self.seen.append((time.time(), sum(self._used.values())))

    def until(self, moment: float) -> float:
        """Seconds of processor time until then."""
        return max(used for at, used in self.seen if at <= max(moment, self.seen[0][0]))


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="lrsearch-clock-") as name:
        above = Path(name)
        try:
            before = arguments.before
            sides = {
                "before": find_install(
                    before if before.exists() else checked_out(str(before), above), above
                ),
                "after": find_install(ROOT, above),
            }
            for install in sides.values():  # a new checkout has no bytecode yet
                compileall.compile_dir(install.package, quiet=1)
            rounds = [
                {side: clock(sides[side], arguments, above / f"{side}-{i}") for side in turn}
                for i in range(arguments.rounds)
                for turn in [list(sides) if i % 2 == 0 else list(sides)[::-1]]
            ]
        except CommandError as error:
            sys.exit(f"Error: {error}")
    if arguments.json:
        print(json.dumps([{k: vars(v) for k, v in one.items()} for one in rounds], indent=2))
    else:
        print_table([one["before"] for one in rounds], [one["after"] for one in rounds])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: python benchmarks/study_clock.py --before HEAD~3 --rounds 5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--before",
        type=Path,
        default=Path("HEAD"),
        metavar="WHERE",
        help="a git revision, a checkout, a virtual environment or its interpreter (%(default)s)",
    )
    parser.add_argument("--study", choices=STUDIES, default="quickstart", help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="(%(default)s)")
    parser.add_argument("--fuse", default="auto", metavar="auto|off|K", help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="does it run at all; a tiny study")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    for option in ("rounds", "workers"):
        if (value := getattr(arguments, option)) < 1:
            parser.error(f"--{option} {value}: at least 1 is needed")
    if arguments.quick:
        arguments.study, arguments.rounds, arguments.workers = "tiny", 1, 1
    return arguments


def checked_out(revision: str, above: Path) -> Path:
    """The files of a revision of this repository, in a folder. Raises CommandError."""
    folder, packed = above / "before", above / "before.tar"
    command = ["git", "archive", "--output", str(packed), revision]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise CommandError(
            f"--before {revision}: neither a path nor a revision: {last_line(ended.stderr)}"
        )
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder


def clock(install: Install, arguments: argparse.Namespace, folder: Path) -> Clock:
    """Run the study in a new folder. Raises CommandError if the command fails."""
    folder.mkdir()
    shutil.copy(ROOT / "studies" / "digits.py", folder)
    (folder / "digits.yaml").write_text(HEAD + STUDIES[arguments.study], encoding="utf-8")
    options = ["--workers", str(arguments.workers), "--fuse", arguments.fuse]
    begun = time.time()
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [install.python, "-m", "lrsearch", "run", "digits.yaml", *options],
            cwd=folder,
            env=dict(install.environment),
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        meter = Meter(process.pid)
        meter.start()
        code = process.wait()
    ended = time.time()
    meter.stop()
    if code:
        raise CommandError(last_line((folder / "stderr").read_text(errors="replace")))
    with closing(sqlite3.connect(folder / "lrsearch.db")) as database:
        moments = [begun, *database.execute(ENDS).fetchone(), ended]
    used = [meter.until(moment) for moment in moments[:-1]] + [meter.seen[-1][1]]
    return Clock(wall=_steps(moments), cpu=_steps(used))


def _steps(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(b - a for a, b in pairwise(values))


def print_table(before: Sequence[Clock], after: Sequence[Clock]) -> None:
    """Medians of the rounds, and of their ratios, with the least and the largest."""
    print("| phase | wall s, before | after | ratio | CPU s, before | after | ratio |")
    print("|---|---|---|---|---|---|---|")
    for i, phase in enumerate(PHASES):
        wall = [[one.wall[i] for one in side] for side in (before, after)]
        cpu = [[one.cpu[i] for one in side] for side in (before, after)]
        print(f"| {phase} | {_cells(*wall)} | {_cells(*cpu)} |")
    wall = [[sum(one.wall) for one in side] for side in (before, after)]
    cpu = [[sum(one.cpu) for one in side] for side in (before, after)]
    print(f"| the whole command | {_cells(*wall)} | {_cells(*cpu)} |")


def _cells(before: Sequence[float], after: Sequence[float]) -> str:
    ratios = [b / a for a, b in zip(before, after, strict=True) if a > 0]
    medians = f"{statistics.median(before):.1f} | {statistics.median(after):.1f}"
    if not ratios:
        return f"{medians} | "
    return f"{medians} | {statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


if __name__ == "__main__":
    main()
