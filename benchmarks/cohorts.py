"""What trials trained together cost and change: a whole study, and the drift of float32 weights.

Study: wall time of `lrsearch run` with `--fuse off` and with `--fuse auto`, in turn, and what each
confirmed. Drift: how far a trial's weights in a cohort are from those of the same trial alone,
beside how far it is from itself when the rows of each batch come in reverse: what rounding alone
does to it. Run it: python benchmarks/cohorts.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from overhead import STUDIES, log, processor, ratio, shown
from plain_loops import recipes

import lrsearch
from lrsearch import Recipe, StudySpec
from lrsearch.task.find import load_task
from lrsearch.training.data import Batch, Data
from lrsearch.training.engine import Engine, SoloEngine
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.task_cache import TaskCache

HERE = Path(__file__).resolve().parent
#: Folder and reference of each task whose drift is measured.
DRIFTING = {
    "digits MLP": (STUDIES, "digits.py:task"),
    "ResNet-8, BatchNorm": (HERE, "zoo.py:resnet8_digits"),
}
#: Where the weights are compared.
MARKS = (20, 100, 500)
#: Trials of the cohort.
SIZE = 8
#: What a whole study is run with.
WAYS = ("off", "auto")


# A whole study.


def run_study(file: Path, fuse: str, workers: int | None) -> dict[str, Any]:
    """`lrsearch run` in a folder and database of its own: seconds, and what it found."""
    with tempfile.TemporaryDirectory(prefix="cohorts-") as folder:
        storage = ["--storage", f"sqlite:///{Path(folder) / 'study.db'}"]
        count = [] if workers is None else ["--workers", str(workers)]
        before, started = os.times(), time.perf_counter()
        call(["run", str(file.resolve()), "--fuse", fuse, *count, *storage], folder)
        wall, after = time.perf_counter() - started, os.times()
        name = StudySpec.load(file).name
        shown_study = json.loads(call(["study", "show", name, "--json", *storage], folder))
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    first = next(iter(shown_study["confirmed"]), None)
    return {
        "wall": wall,
        "cpu": cpu,
        "best": None if shown_study["best"] is None else shown_study["best"]["value"],
        "confirmed": None if first is None else {k: first[k] for k in ("mean", "ci95", "n")},
    }


def call(arguments: Sequence[str], folder: str) -> str:
    """What lrsearch prints. Its errors are ours."""
    command = [sys.executable, "-m", "lrsearch", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip().splitlines()[-1])
    return done.stdout


def measure_study(file: Path, rounds: int, workers: int | None) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS[:: 1 if number % 2 == 0 else -1]:
            log(f"study, round {number + 1} of {rounds}: --fuse {way}")
            runs[way].append(run_study(file, way, workers))
    wall, cpu = (
        asdict(ratio(*([run[clock] for run in runs[way]] for way in WAYS)))
        for clock in ("wall", "cpu")
    )
    return {"file": file.name, "runs": runs, "wall_ratio": wall, "cpu_ratio": cpu}


# Drift.


class Reversed:
    """Data whose training batches come with their rows in reverse."""

    def __init__(self, data: Data) -> None:
        self.data, self.batches = data, data.batches

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        for inputs, targets in self.data.train(seed, epoch, skip):
            yield inputs.flip(0), targets.flip(0)

    def validation(self) -> Iterator[Batch]:
        return self.data.validation()


class ReversedCache(TaskCache):
    def splits(self, recipe: Recipe) -> tuple[lrsearch.Task, tuple[Data, Data]]:
        task, (train, validation) = super().splits(recipe)
        return task, (Reversed(train), validation)


def weights_at(engine: Engine, trials: Sequence[Recipe], marks: Sequence[int]) -> torch.Tensor:
    """[marks, trials, P]: the weights of trials that are trained together."""
    trainings = [engine.admit(recipe) for recipe in trials]
    kept = []
    for mark in marks:
        while trainings[0].step < mark:
            engine.advance(mark - trainings[0].step)
        rows = [torch.nn.utils.parameters_to_vector(s.model.parameters()) for s in trainings]
        kept.append(torch.stack(rows).detach().clone())
    return torch.stack(kept)


def alone(
    make: Callable[[], Engine], trials: Sequence[Recipe], marks: Sequence[int]
) -> torch.Tensor:
    return torch.cat([weights_at(make(), [recipe], marks) for recipe in trials], dim=1)


def measure_drift(name: str, marks: Sequence[int]) -> dict[str, Any]:
    """Relative L2 distances [marks] of each trial's weights from those that it has alone."""
    folder, reference = DRIFTING[name]
    loaded, device = load_task(reference, folder), torch.device("cpu")
    spec = StudySpec.from_dict(
        {
            "name": "drift",
            "task": reference,
            "steps": max(marks),
            "budget": {"trials": SIZE},
            "validate_every": {"fraction": 1.0},
            "pruning": "none",
        }
    )
    trials = recipes(spec, SIZE)
    cache = TaskCache(loaded, device)
    log(f"drift: {name}")
    plain = alone(lambda: SoloEngine(spec, cache), trials, marks)
    noise = alone(lambda: SoloEngine(spec, ReversedCache(loaded, device)), trials, marks)
    together = weights_at(Cohort(spec, cache, trials[0], SIZE), trials, marks)
    length = plain.norm(dim=2)
    return {
        "model": name,
        "marks": list(marks),
        "trials": [
            {"recipe": titled(recipe), "cohort": cohort, "reversed": flipped}
            for recipe, cohort, flipped in zip(
                trials,
                ((together - plain).norm(dim=2) / length).T.tolist(),
                ((noise - plain).norm(dim=2) / length).T.tolist(),
                strict=True,
            )
        ],
    }


def titled(recipe: Recipe) -> str:
    """Without what all have in common."""
    optimizer = {key: value for key, value in recipe.optimizer.items() if key != "fused"}
    return recipe.model_copy(update={"optimizer": optimizer}).title()


# Output.


def study_table(study: Mapping[str, Any]) -> list[str]:
    lines = [f"lrsearch run {study['file']}: {'':8}{'wall s':>8}{'cpu s':>8}{'best':>9}  confirmed"]
    for way, runs in study["runs"].items():
        for run in runs:
            first = run["confirmed"]
            found = "none" if first is None else f"{first['mean']:.4f} of {first['n']} runs"
            best = "none" if run["best"] is None else f"{run['best']:.4f}"
            lines.append(f"  --fuse {way:<24}{run['wall']:8.1f}{run['cpu']:8.1f}{best:>9}  {found}")
    lines.append(
        f"  off / auto: wall {shown(study['wall_ratio'])}, cpu {shown(study['cpu_ratio'])}"
    )
    return lines


def drift_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"Drift: relative L2 distance from the weights of the trial alone, in a cohort of {SIZE} / "
        f"alone with reversed batches"
    ]
    for row in rows:
        marks = "".join(f"{f'{mark} steps':>20}" for mark in row["marks"])
        lines.append(f"{row['model']:64}{marks}")
        for trial in row["trials"]:
            pairs = zip(trial["cohort"], trial["reversed"], strict=True)
            cells = "".join(f"{f'{a:.0e} / {b:.0e}':>20}" for a, b in pairs)
            lines.append(f"  {trial['recipe'][:62]:62}{cells}")
        medians = (
            [median(trial[kind][i] for trial in row["trials"]) for kind in ("cohort", "reversed")]
            for i in range(len(row["marks"]))
        )
        cells = "".join(f"{f'{a:.0e} / {b:.0e}':>20}" for a, b in medians)
        lines.append(f"  {'median':62}{cells}")
    return lines


def table(result: Mapping[str, Any]) -> str:
    lines = [f"{result['processor']}, torch {result['torch']}"]
    if result["study"] is not None:
        lines += ["", *study_table(result["study"])]
    if result["drift"]:
        lines += ["", *drift_table(result["drift"])]
    return "\n".join(lines)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=("all", "study", "drift"), default="all")
    parser.add_argument("--study", type=Path, default=STUDIES / "digits.yaml", help="(digits)")
    parser.add_argument("--rounds", type=int, default=3, help="times each way is run (3)")
    parser.add_argument("--workers", type=int, help="default: as lrsearch run has it")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--quick", action="store_true", help="drift after two steps: does it run")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1 is needed")
    if not options.study.is_file():
        parser.error(f"--study {options.study}: no such file")
    return options


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    study, drift = None, []
    if options.part != "drift":
        study = measure_study(options.study, options.rounds, options.workers)
    if options.part != "study":
        marks = (1, 2) if options.quick else MARKS
        drift = [measure_drift(name, marks) for name in DRIFTING]
    result = {
        "processor": processor(),
        "torch": torch.__version__,
        "study": study,
        "drift": drift,
    }
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
