"""What each command that only reads a study costs before it answers: CPU time and peak memory.

Each install under measurement trains a small study on digits first, by its own command line, and
then answers about it. A row is the median of several runs. CPU time (user and system) and peak
memory are the kernel's figures for the process; wall time on a busy machine is mostly other
processes'.
"""

import argparse
import json
import os
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
STUDY = """\
name: digits
task: digits.py:task
epochs: {epochs}
budget: {{trials: {trials}}}
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line, and what older versions call it."""

    words: str
    earlier: str | None = None


COMMANDS = (
    Command(words="--help"),
    Command(words="study list"),
    Command(words="study show digits"),
    Command(words="study trials digits"),
    Command(words="study curves digits"),
    Command(words="status digits", earlier="workers digits"),
    Command(words="trial show digits 0"),
    Command(words="export digits"),
    Command(words="export digits --format torch"),
    Command(words="db check"),
    Command(words="report digits"),
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    cpu_seconds: float
    #: Mebibytes.
    peak_memory: float


@dataclass(frozen=True, kw_only=True)
class Side:
    """An install, and the folder with its study."""

    name: str
    install: Install
    folder: Path


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="lrsearch-startup-") as name:
        try:
            sides = [opened("here", ROOT, Path(name), arguments)]
            if arguments.against is not None:
                sides.append(opened("against", arguments.against, Path(name), arguments))
            rows = measure(sides, arguments.rounds)
        except CommandError as error:
            sys.exit(f"Error: {error}")
    if arguments.json:
        print(json.dumps({"trials": arguments.trials, "rows": documents(rows)}, indent=2))
    else:
        print_table(rows, len(sides))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: python benchmarks/startup.py --against ../lrsearch-before",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="WHERE",
        help="a checkout, a virtual environment or its interpreter to set beside this checkout",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="runs of each (%(default)s)"
    )
    parser.add_argument(
        "--trials", type=int, default=60, metavar="N", help="of the study (%(default)s)"
    )
    parser.add_argument(
        "--epochs", type=int, default=30, metavar="N", help="of a trial (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    for option in ("rounds", "trials", "epochs"):
        if (value := getattr(arguments, option)) < 1:
            parser.error(f"--{option} {value}: at least 1 is needed")
    return arguments


def opened(name: str, where: Path, above: Path, arguments: argparse.Namespace) -> Side:
    """An install with a finished study of its own. Raises CommandError."""
    folder = above / name
    folder.mkdir()
    side = Side(name=name, install=find_install(where, folder), folder=folder)
    shutil.copy(ROOT / "studies" / "digits.py", folder)
    text = STUDY.format(trials=arguments.trials, epochs=arguments.epochs)
    (folder / "digits.yaml").write_text(text, encoding="utf-8")
    run(side, ["run", "digits.yaml", "--workers", "1", "--fuse", "off"])
    return side


def measure(sides: Sequence[Side], rounds: int) -> dict[str, list[Cost]]:
    """The cost of each command at each side; the sides take turns. Raises CommandError."""
    return {command.words: _costs(command, sides, rounds) for command in COMMANDS}


def _costs(command: Command, sides: Sequence[Side], rounds: int) -> list[Cost]:
    spelled = [spelling(command, side) for side in sides]
    runs = [
        [run(side, words) for side, words in zip(sides, spelled, strict=True)]
        for _ in range(rounds)
    ]
    return [median(costs) for costs in zip(*runs, strict=True)]


def spelling(command: Command, side: Side) -> list[str]:
    """How the side spells a command: as here, or as earlier where it does not know that."""
    if command.earlier is None:
        return command.words.split()
    try:
        run(side, [*command.words.split(), "--help"])
    except CommandError:
        return command.earlier.split()
    return command.words.split()


def run(side: Side, words: Sequence[str]) -> Cost:
    """Run a command to its end, and what that cost. Raises CommandError if it fails."""
    with (side.folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [side.install.python, "-m", "lrsearch", *words],
            cwd=side.folder,
            env=side.install.environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = last_line((side.folder / "stderr").read_text(errors="replace"))
        raise CommandError(f"{side.name}: lrsearch {' '.join(words)}: {said}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss in a mebibyte
    return Cost(cpu_seconds=used.ru_utime + used.ru_stime, peak_memory=used.ru_maxrss / unit)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        cpu_seconds=statistics.median(cost.cpu_seconds for cost in costs),
        peak_memory=statistics.median(cost.peak_memory for cost in costs),
    )


def documents(rows: dict[str, list[Cost]]) -> list[dict[str, object]]:
    names = ("here", "against")
    return [
        {"command": words, **{name: asdict(cost) for name, cost in zip(names, costs, strict=False)}}
        for words, costs in rows.items()
    ]


def print_table(rows: dict[str, list[Cost]], sides: int) -> None:
    titles = ["CPU s, here", "MB, here", "CPU s, against", "MB, against"][: 2 * sides]
    print("| " + " | ".join(["command", *titles]) + " |")
    print("|" + "---|" * (1 + len(titles)))
    for words, costs in rows.items():
        cells = [f"{c.cpu_seconds:.2f} | {c.peak_memory:.0f}" for c in costs]
        print("| " + " | ".join([f"`{words}`", *cells]) + " |")


if __name__ == "__main__":
    main()
