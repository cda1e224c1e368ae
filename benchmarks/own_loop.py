"""What a search costs around a training script of the user's own: CPU time per trial.

The same training is run as the script alone, as `train(run)` and as `command:` by one worker of
lrsearch, as Optuna's objective in one process, and as an Optuna objective that starts the script.
Each runs in a process of its own; its CPU time and that of all it starts is the kernel's. A trial
costs what is used from its beginning to the beginning of the next; what a study costs once, such as
its start and its report, is told beside. Linux only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import own_loop_script
import torch
import yaml
from own_loop_script import EPOCHS, LONG, MARK, ROOT, STEPS, tree_seconds

from lrsearch.child_process.supervisor import Child, Supervisor
from lrsearch.child_process.warm import warm_modules

SCRIPT = Path(own_loop_script.__file__)
#: Steps that are timed to find how many a trial needs.
TIMED_STEPS = 400
#: How often a trial of one step is started in each way.
START_REPEATS = 5
#: What a trial at a fixed learning rate has in common: nothing but the trials is trained.
STUDY = {
    "epochs": EPOCHS,
    "portfolio": "none",
    "range_test": "none",
    "pruning": "none",
    "confirm": "none",
    "ema": "none",
}
LR = {"low": 0.05, "high": 0.1, "log": True}
TRAIN = {
    "name": "train",
    "train": f"{SCRIPT.name}:train",
    "space": {
        "optimizers": {"sgd": {"lr": LR, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}},
        "schedules": {"cosine": {"eta_min": 0.0}},
        "warmup": 0.0,
    },
}
COMMAND = {
    "name": "command",
    "command": [sys.executable, SCRIPT.name, "--lr", "{lr}", "--seed", "{seed}"],
    "report": {"val_loss": r"valid loss +(\S+)"},
    "space": {"optimizers": {"script": {"lr": LR}}, "schedules": {"script": {}}},
}
SIDES = ("alone", "train(run)", "command", "Optuna", "Optuna, script")
#: How often lrsearch starts a script before the first trial, to see whether it works.
LOOKS = {"alone": 0, "train(run)": 1, "command": 1, "Optuna": 0, "Optuna, script": 0}
#: What is set beside what. All but `Optuna` and `train(run)` pay for a new interpreter and its
#: imports in each trial.
RATIOS = (
    ("train(run)", "alone"),
    ("train(run)", "Optuna"),
    ("command", "alone"),
    ("command", "Optuna, script"),
    ("command", "Optuna"),
)


class SideError(Exception):
    """A side did not come to its end."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU seconds."""

    trial: float
    #: Of the study besides its trials.
    once: float = 0.0


def cost(side: str, trials: int, steps: int) -> Cost:
    """What so many trials cost; a search has a short one after them. Raises SideError."""
    with tempfile.TemporaryDirectory(prefix="own-loop-") as name:
        folder = Path(name)
        (folder / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
        words = command_line(side, trials + 1, folder)
        here = [str(folder), str(Path(__file__).parents[1])]
        environment = {
            **os.environ,
            **{MARK: str(folder / "mark"), STEPS: str(steps), LONG: str(trials + LOOKS[side])},
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([*here, os.environ.get("PYTHONPATH", "")]),
        }
        if side == "alone":
            runs = [cpu_of(words, folder, environment) for _ in range(trials)]
            return Cost(trial=statistics.mean(runs))
        total = cpu_of(words, folder, environment)
        marks = [float(line) for line in (folder / "mark").read_text().split()][LOOKS[side] :]
    if len(marks) != trials + 1:
        raise SideError(f"{side}: {len(marks)} trials began where {trials + 1} were expected")
    trial = (marks[-1] - marks[0]) / trials
    return Cost(trial=trial, once=total - (marks[-1] - marks[0]))


def command_line(side: str, trials: int, folder: Path) -> list[str]:
    """What runs a side, with the study that it needs."""
    if side == "alone":
        return [sys.executable, SCRIPT.name, "--lr", "0.07"]
    if side in ("train(run)", "command"):
        study = TRAIN if side == "train(run)" else COMMAND
        text = yaml.safe_dump({**study, **STUDY, "budget": {"trials": trials}})
        (folder / "study.yaml").write_text(text)
        return [sys.executable, "-m", "lrsearch", "run", "study.yaml", "--workers", "1"]
    objective = "objective" if side == "Optuna" else "command_objective"
    code = f"from own_loop_script import *; search_with_optuna({objective}, {trials})"
    return [sys.executable, "-c", code]


def cpu_of(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """CPU seconds of a command and of all that it starts. Raises SideError where it fails."""
    # A shell tells the command its own pid, which its trials have to know.
    shell = ["sh", "-c", f'{ROOT}=$$ exec "$@"', "sh", *words]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            shell, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = (folder / "output").read_text(errors="replace")[-2000:]
        raise SideError(f"{' '.join(words)} ended with {process.returncode}: {said}")
    return used.ru_utime + used.ru_stime


def steps_for(seconds: float) -> int:
    """Steps of an epoch with which the script's training takes so many CPU seconds."""
    os.environ[STEPS] = str(TIMED_STEPS)
    loader, _ = own_loop_script.data()
    model = own_loop_script.net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.07, momentum=0.9)
    begun = time.process_time()
    for x, y in loader:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    of_a_step = (time.process_time() - begun) / TIMED_STEPS
    return max(1, round(seconds / of_a_step / EPOCHS))


def measure(seconds: float, trials: int, rounds: int) -> dict[str, Any]:
    """All sides, which take turns. Raises SideError."""
    steps = steps_for(seconds)
    runs = []
    for number in range(rounds):
        costs = {}
        for side in SIDES:
            costs[side] = cost(side, trials, steps)
            log(f"{seconds:g} s, round {number + 1}, {side}: {costs[side]}")
        runs.append(costs)
    return {
        "seconds": seconds,
        "steps": steps * EPOCHS,
        "trials": trials,
        "cpu_seconds": {side: statistics.median(run[side].trial for run in runs) for side in SIDES},
        "once": {side: statistics.median(run[side].once for run in runs) for side in SIDES},
        "ratios": [
            {"of": one, "to": other, **spread([run[one].trial / run[other].trial for run in runs])}
            for one, other in RATIOS
        ],
    }


def measure_start(repeats: int) -> dict[str, Any]:
    """CPU and wall seconds of a trial of one step: as a new interpreter, and as a warm fork."""
    with tempfile.TemporaryDirectory(prefix="own-loop-") as name:
        here, output = Path(name), Path(name) / "output"
        path = os.pathsep.join([str(SCRIPT.parent), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        code = f"import {SCRIPT.stem} as script; script.first_step([])"
        with Supervisor(warm=warm_modules(SCRIPT), env=environment) as supervisor:

            def interpreter() -> Child:
                words = [sys.executable, "-c", code]
                return supervisor.start(words, env=environment, cwd=here, output=output)

            def fork() -> Child:
                entry = f"{SCRIPT.stem}:first_step"
                return supervisor.fork(entry, [], env=environment, cwd=here, output=output)

            fork().end(grace=60)  # so that the warm process has imported everything
            pairs = [
                (timed(interpreter, supervisor), timed(fork, supervisor)) for _ in range(repeats)
            ]
    new, forked = zip(*pairs, strict=True)
    return {"new_interpreter": medians(new), "fork": medians(forked)}


def timed(start: Callable[[], Child], supervisor: Supervisor) -> tuple[float, float]:
    """CPU and wall seconds of a child. Raises SideError where it fails."""
    used, begun = tree_seconds(supervisor.pid), time.monotonic()
    child = start()
    if (status := child.wait()) or child.cold:
        raise SideError(f"a trial of one step ended with {status}; cold: {child.cold}")
    wall = time.monotonic() - begun
    child.end(grace=60)
    return tree_seconds(supervisor.pid) - used, wall


def medians(costs: Sequence[tuple[float, float]]) -> dict[str, float]:
    cpu, wall = map(statistics.median, zip(*costs, strict=True))
    return {"cpu_seconds": cpu, "wall_seconds": wall}


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def table(rows: Sequence[Mapping[str, Any]], rounds: int, start: Mapping[str, Any]) -> str:
    new, fork = start["new_interpreter"], start["fork"]
    lines = [
        "A trial of one step, CPU and wall seconds: "
        f"new interpreter {new['cpu_seconds']:.2f}, {new['wall_seconds']:.2f}; "
        f"fork {fork['cpu_seconds']:.2f}, {fork['wall_seconds']:.2f}",
        "",
    ]
    lines += [
        f"CPU seconds per trial; torch {torch.__version__}, 1 thread, {rounds} rounds: median"
    ]
    lines.append(f"{'training':>9}{'steps':>8}{'trials':>8}" + "".join(f"{s:>16}" for s in SIDES))
    for row in rows:
        costs = "".join(f"{row['cpu_seconds'][side]:16.2f}" for side in SIDES)
        lines.append(f"{row['seconds']:8g}s{row['steps']:8}{row['trials']:8}{costs}")
        costs = "".join(f"{row['once'][side]:16.2f}" for side in SIDES)
        lines.append(f"{'once, besides':25}{costs}")
    lines += ["", "Ratios within a round: median (lowest..highest)"]
    lines.append(f"{'':28}" + "".join(f"{row['seconds']:>21g}s" for row in rows))
    for index, (one, other) in enumerate(RATIOS):
        ratios = [row["ratios"][index] for row in rows]
        shown = [f"{r['median']:.3f} ({r['low']:.3f}..{r['high']:.3f})" for r in ratios]
        lines.append(f"{f'{one} / {other}':28}" + "".join(f"{text:>22}" for text in shown))
    return "\n".join(lines)


def log(line: str) -> None:
    print(line, file=sys.stderr)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: python benchmarks/own_loop.py --seconds 10 --trials 5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[10.0, 60.0], metavar="S",
        help="CPU seconds that a trial trains (10 60)",
    )  # fmt: skip
    parser.add_argument(
        "--trials", type=int, default=2, help="trials that are counted (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--quick", action="store_true", help="does it run at all; says nothing")
    arguments = parser.parse_args()
    for option in ("trials", "rounds"):
        if (value := getattr(arguments, option)) < 1:
            parser.error(f"--{option} {value}: at least 1 is needed")
    if not Path("/proc/self/task").is_dir():
        parser.error("CPU time of trees of processes is read from /proc, which only Linux has")
    if arguments.quick:
        arguments.seconds, arguments.trials, arguments.rounds = [0.2], 1, 1
    return arguments


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    try:
        start = measure_start(START_REPEATS)
        rows = [measure(s, arguments.trials, arguments.rounds) for s in arguments.seconds]
    except SideError as error:
        sys.exit(f"Error: {error}")
    if arguments.json:
        document = {
            "torch": torch.__version__,
            "rounds": arguments.rounds,
            "start": start,
            "rows": rows,
        }
        print(json.dumps(document, indent=2))
    else:
        print(table(rows, arguments.rounds, start))


if __name__ == "__main__":
    main()
