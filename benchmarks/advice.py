"""What the adviser says of twice the trials, beside what twice the trials gained.

Nothing is trained: recorded runs are drawn at random as the trials of a study, the adviser is asked
after the first half, and the second half is the answer; once without pruning, once with the
default's. The naive bootstrap draws the second half from the first, which can never be better:

    python benchmarks/advice.py --data imagenet_alexnet.jsonl.gz --data digits_mlp.jsonl.gz
"""

import argparse
import gzip
import json
import math
import random
import sys
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from lrsearch.advice.more_trials import gain_of_doubling
from lrsearch.spec.pruning import Pruning
from lrsearch.trial.pruning import survives
from lrsearch.trial.validations import make_plan

#: Trials of a study when the adviser is asked.
TRIALS = (16, 32, 64, 128)
#: What a study may have as objective, where recorded.
TARGETS = ("val_error", "calibrated_loss", "val_loss")


Curve = Sequence[float | None]


def read(path: Path) -> dict[str, list[Curve]]:
    """Of each target the curves of all runs, a value per epoch; None once it has diverged."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line)["curves"] for line in file]
    return {name: [row[name] for row in rows] for name in TARGETS if name in rows[0]}


@dataclass(kw_only=True)
class Study:
    """What the trials of a study gave: losses of the complete, of the stopped, and the rest."""

    complete: list[float] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    without_value: int = 0
    #: At each rung, rising.
    marks: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def train(self, curve: Curve, pruning: Pruning | None) -> None:
        """One more trial, stopped where the study's pruning stops it."""
        rungs = () if pruning is None else pruning.rungs
        plan = make_plan(steps_per_epoch=1, total_steps=len(curve), rungs=rungs)
        best = math.inf
        for epoch, loss in enumerate(curve, start=1):
            if loss is None:
                self.without_value += 1
                return
            best = min(best, loss)
            if epoch in plan.rungs and not self._passes(plan.rungs[epoch], loss, pruning):
                self.stopped.append(best)
                return
        self.complete.append(best)

    def _passes(self, rung: int, loss: float, pruning: Pruning | None) -> bool:
        assert pruning is not None
        marks = self.marks[rung]
        better, others = bisect_left(marks, loss), len(marks)
        insort(marks, loss)
        return survives(better=better, others=others, eta=pruning.eta, min_peers=pruning.min_peers)


def measure(
    curves: Sequence[Curve], trials: int, pruning: Pruning | None, studies: int, seed: int
) -> dict[str, Any] | None:
    """Predicted and actual gain over so many studies; None if there are not twice the runs."""
    if 2 * trials > len(curves):
        return None
    chance, predicted, actual, covered = random.Random(seed), [], [], []
    for _ in range(studies):
        drawn, study = chance.sample(curves, 2 * trials), Study()
        for curve in drawn[:trials]:
            study.train(curve, pruning)
        gain = gain_of_doubling(study.complete, study.stopped, without_value=study.without_value)
        if gain is None:
            continue
        best = min(study.complete)
        for curve in drawn[trials:]:
            study.train(curve, pruning)
        actual.append(best - min(study.complete))
        predicted.append(gain.expected)
        covered.append(float(actual[-1] <= gain.high))
    if len(actual) < 2:
        return None
    return {
        "trials": trials,
        "pruning": pruning is not None,
        "studies": len(actual),
        "actual": _mean(actual),
        "predicted": _mean(predicted),
        "bootstrap": _mean([0.0] * len(actual)),
        "ratio": fmean(predicted) / fmean(actual) if any(actual) else None,
        "bias": _mean([a - b for a, b in zip(predicted, actual, strict=True)]),
        "covered": _mean(covered),
    }


def _mean(values: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(values), "se": stdev(values) / math.sqrt(len(values))}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"{'runs':18}{'objective':17}{'pruning':8}{'trials':>6}{'actual gain':>18}"
        f"{'predicted':>18}{'ratio':>7}{'bootstrap':>10}{'in the band':>15}"
    ]
    for row in rows:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        pruning = "on" if row["pruning"] else "-"
        what = f"{row['data']:18}{row['target']:17}{pruning:8}{row['trials']:>6}"
        gains = f"{_cell(row['actual']):>18}{_cell(row['predicted']):>18}{ratio:>7}"
        covered = f"{row['covered']['mean']:>8.1%} ± {row['covered']['se']:.1%}"
        lines.append(f"{what}{gains}{row['bootstrap']['mean']:>10.3g}{covered}")
    return "\n".join(lines)


def _cell(value: Mapping[str, float]) -> str:
    return f"{value['mean']:.2e} ± {value['se']:.0e}"


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="recorded runs; may be repeated"
    )
    parser.add_argument("--studies", type=int, default=300, help="studies of each size (300)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    if options.studies < 2:
        parser.error(f"--studies {options.studies}: at least 2 are needed")
    for path in options.data:
        if not path.is_file():
            parser.error(f"--data {path}: no such file; give recorded runs")
    return options


def main() -> None:
    options, rows = parse_options(), []
    for path in options.data:
        for target, curves in read(path).items():
            print(f"{path.name} {target}", file=sys.stderr)
            for pruning, trials in product((None, Pruning()), TRIALS):
                row = measure(curves, trials, pruning, options.studies, options.seed)
                if row is not None:
                    rows.append({"data": path.name.partition(".")[0], "target": target, **row})
    print(json.dumps(rows, indent=2) if options.json else table(rows))


if __name__ == "__main__":
    main()
