"""What the report of a study costs, from none to 10,000 trials: CPU, memory, size of the page.

The studies are made up, of two optimizers and three schedules, half of their trials pruned: rows in
a database, nothing is trained. This checkout makes them; each install under measurement reads a
copy and writes its reports by its own command line, in turns. A row is the median of several runs.
CPU time (user and system) and peak memory are the kernel's figures for the process.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from installs import CommandError, Install, find_install, last_line

ROOT = Path(__file__).parents[1]
TRIALS = (0, 3, 60, 2000, 10_000)
#: What `--quick` reports.
QUICK = (3,)
MAKE = """\
import sys
sys.path.insert(0, sys.argv[1])
from many_trials import make_many
from lrsearch.study.prepare_database import open_database
database = open_database("sqlite:///lrsearch.db", create=True)
for count in map(int, sys.argv[2:]):
    make_many(database, count, name=f"made{count}")
database.close()
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    cpu_seconds: float
    #: Mebibytes.
    peak_memory: float
    #: Mebibytes of report.html.
    page: float


@dataclass(frozen=True, kw_only=True)
class Side:
    """An install, and the folder with its copy of the studies."""

    name: str
    install: Install
    folder: Path


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="lrsearch-report-") as name:
        try:
            installs = {"here": find_install(ROOT, Path(name))}
            if arguments.against is not None:
                installs["against"] = find_install(arguments.against, Path(name))
            sides = opened(installs, Path(name), arguments.trials)
            rows = {count: costs(count, sides, arguments.rounds) for count in arguments.trials}
        except CommandError as error:
            sys.exit(f"Error: {error}")
    if arguments.json:
        print(json.dumps({"rounds": arguments.rounds, "rows": documents(rows)}, indent=2))
    else:
        print_table(rows, len(sides))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: python benchmarks/report.py --against ../lrsearch-before",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="WHERE",
        help="a checkout, a virtual environment or its interpreter to set beside this checkout",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="runs of each (%(default)s)"
    )
    parser.add_argument(
        "--trials", type=int, nargs="+", default=TRIALS, metavar="N", help="of the studies"
    )
    parser.add_argument(
        "--quick", action="store_true", help="does it run at all; one small study, one round"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}: at least 1 is needed")
    if min(arguments.trials) < 0:
        parser.error(f"--trials {min(arguments.trials)}: at least 0 is needed")
    if arguments.quick:
        arguments.trials, arguments.rounds = QUICK, 1
    return arguments


def opened(installs: dict[str, Install], above: Path, trials: Sequence[int]) -> list[Side]:
    """Each install with a copy of the studies. Raises CommandError."""
    sides = [
        Side(name=name, install=install, folder=above / name) for name, install in installs.items()
    ]
    for side in sides:
        side.folder.mkdir()
    here, *others = sides
    used(here, ["-c", MAKE, str(ROOT / "tests"), *map(str, trials)])
    for side in others:
        shutil.copy(here.folder / "lrsearch.db", side.folder)
    return sides


def costs(count: int, sides: Sequence[Side], rounds: int) -> list[Cost]:
    """What the report of so many trials costs at each side; the sides take turns."""
    runs = [[reported(side, count) for side in sides] for _ in range(rounds)]
    return [median(found) for found in zip(*runs, strict=True)]


def reported(side: Side, count: int) -> Cost:
    words = ["-m", "lrsearch", "report", f"made{count}", "--out", f"report{count}"]
    usage = used(side, words)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss in a mebibyte
    page = side.folder / f"report{count}" / "report.html"
    return Cost(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory=usage.ru_maxrss / unit,
        page=page.stat().st_size / 2**20,
    )


def used(side: Side, words: Sequence[str]) -> resource.struct_rusage:
    """What a Python process of the side used until its end. Raises CommandError if it fails."""
    with (side.folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [side.install.python, *words],
            cwd=side.folder,
            env=side.install.environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = last_line((side.folder / "stderr").read_text(errors="replace"))
        raise CommandError(f"{side.name}: python {' '.join(words[-4:])}: {said}")
    return usage


def median(found: Sequence[Cost]) -> Cost:
    return Cost(
        cpu_seconds=statistics.median(cost.cpu_seconds for cost in found),
        peak_memory=statistics.median(cost.peak_memory for cost in found),
        page=statistics.median(cost.page for cost in found),
    )


def documents(rows: dict[int, list[Cost]]) -> list[dict[str, object]]:
    names = ("here", "against")
    return [
        {"trials": count, **{name: asdict(cost) for name, cost in zip(names, found, strict=False)}}
        for count, found in rows.items()
    ]


def print_table(rows: dict[int, list[Cost]], sides: int) -> None:
    each = [(f"CPU s, {name}", f"MB, {name}", f"page MB, {name}") for name in ("here", "against")]
    titles = [title for titles in each[:sides] for title in titles]
    print("| " + " | ".join(["trials", *titles]) + " |")
    print("|" + "---|" * (1 + len(titles)))
    for count, found in rows.items():
        cells = [f"{c.cpu_seconds:.2f} | {c.peak_memory:.0f} | {c.page:.1f}" for c in found]
        print("| " + " | ".join([f"{count:,}", *cells]) + " |")


if __name__ == "__main__":
    main()
