"""How many trials at once cost a search: what it recommends, by the share that trains together.

Whole studies of the quickstart, one worker, in turn: one by one, and with an eighth, a quarter and
a half of the trials at once. What each recommends is trained with fresh seeds, the same for all;
the mean is what counts, and the epochs that the search took. Run it: python benchmarks/share.py
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from overhead import STUDIES, log

from lrsearch import Recipe, StudySpec
from lrsearch.report.summary import summarize
from lrsearch.study.create import create_study
from lrsearch.study.prepare_database import open_database
from lrsearch.task.find import load_task
from lrsearch.training.start import start_training
from lrsearch.training.task_cache import TaskCache
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks.program import TaskProgram
from lrsearch.worker.worker import Worker

CPU = torch.device("cpu")

#: Of the study's trials.
SHARES = (0.0, 0.125, 0.25, 0.5)
#: Seeds that judge, far from those of the studies.
JUDGES = range(1000, 1005)


def run_study(spec: StudySpec, size: int, folder: Path) -> Mapping[str, Any]:
    """A whole study without confirmation: what `study show --json` says of it."""
    loaded = load_task(spec.task, STUDIES)
    database = open_database(f"sqlite:///{folder / 'study.db'}", create=True)
    steps = TaskCache(loaded, torch.device("cpu")).splits(_any_recipe())[1][0].batches
    search, _ = create_study(database, spec, loaded, steps_per_epoch=steps, exist_ok=False)
    program = TaskProgram(search.spec, loaded, CPU)
    Worker(search, program, CPU, Stop(), fuse=size if size > 1 else "off").run()
    found = summarize(search)
    database.close()
    return found


def _any_recipe() -> Recipe:
    return Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 1})


def judged(spec: StudySpec, recipe: Mapping[str, Any]) -> float:
    """Mean over the judges' seeds of the best validation loss of a recipe."""
    cache = TaskCache(load_task(spec.task, STUDIES), torch.device("cpu"))
    return fmean(_trained(spec, cache, {**recipe, "seed": seed}) for seed in JUDGES)


def _trained(spec: StudySpec, cache: TaskCache, recipe: Mapping[str, Any]) -> float:
    training = start_training(spec, Recipe.from_dict(recipe), cache)
    losses = []
    while not training.done:
        training.advance(training.next_validation)
        if training.is_due:
            losses.append(training.validate(with_ema=False).val_loss)
    return min(losses)


def measure(seeds: int) -> dict[float, list[dict[str, float]]]:
    """For each share what each seed's study recommended, and what that took."""
    base = StudySpec.load(STUDIES / "digits.yaml")
    trials = base.budget.trials or 0
    results: dict[float, list[dict[str, float]]] = {share: [] for share in SHARES}
    for seed in range(seeds):
        for share in SHARES:
            spec = base.model_copy(update={"confirm": None, "seed": seed})
            with tempfile.TemporaryDirectory(prefix="share-") as folder:
                study = run_study(spec, round(share * trials), Path(folder))
            loss = judged(spec, study["best"]["recipe"])
            results[share].append({"loss": loss, "epochs": study["epochs"]["search"]})
            log(f"seed {seed}, share {share:g}: loss {loss:.4f}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="studies of each share (8)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    if options.seeds < 1:
        sys.exit(f"Error: --seeds {options.seeds}: at least 1 is needed")
    torch.set_num_threads(1)
    results = measure(options.seeds)
    if options.json:
        print(json.dumps(results))
        return
    print(f"digits, {options.seeds} studies each; mean (standard error); paired with one by one")
    print(f"{'share':>6} {'judged loss':>18} {'less one by one':>20} {'epochs':>8}")
    alone = [row["loss"] for row in results[0.0]]
    for share, rows in results.items():
        losses = [row["loss"] for row in rows]
        pairs = [a - b for a, b in zip(losses, alone, strict=True)]
        epochs = fmean(row["epochs"] for row in rows)
        print(f"{share:6g} {shown(losses):>18} {shown(pairs):>20} {epochs:8.0f}")


def shown(values: list[float]) -> str:
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{fmean(values):.4f} ({error:.4f})"


if __name__ == "__main__":
    main()
