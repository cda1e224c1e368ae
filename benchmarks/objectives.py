"""Which objective chooses the recipe that does best on the test set, on recorded runs.

Of so many random runs each objective takes its best; the test error of what it takes is compared
with what val_loss takes. Run it: python benchmarks/objectives.py --data digits_mlp.jsonl.gz
"""

import argparse
import gzip
import json
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

RECORDS = Path(__file__).resolve().parent / "data" / "fashion_mnist_curves.jsonl.gz"
METRICS = ("val_loss", "val_error", "calibrated_loss")
PLACES = ("best", "last")
#: The raw ones; or, at each validation, whichever of them and their average is better.
WEIGHTS = ("raw", "better")
#: How many runs there are to choose from.
SIZES = (20, 50, 100)


def read_runs(path: Path) -> list[dict[str, Any]]:
    """Those that did not diverge: a diverged trial has no value."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        runs = [json.loads(line) for line in lines]
    return [run for run in runs if run["curves"] and run["curves"]["val_loss"][-1] is not None]


def scored(run: Mapping[str, Any], metric: str, at: str, weights: str) -> tuple[float, float]:
    """The run's value, and the test error of what would be deployed for it.

    Where the test error was recorded once, it is that of the last raw weights.
    """
    curves = run["curves"]
    values = np.array([curves[metric], curves[f"{metric}_ema"]][: 1 + (weights == "better")])
    values = np.where(values == None, math.inf, values).astype(float)  # noqa: E711
    first = 0 if at == "best" else values.shape[1] - 1
    by_epoch = values[:, first:].min(axis=0)
    epoch = first + int(by_epoch.argmin())
    averaged = bool(values[:, epoch].argmin())
    if "test_error" in run:
        return float(by_epoch.min()), run["test_error"]
    name = "test_error_ema" if averaged else "test_error"
    return float(by_epoch.min()), curves[name][epoch]


def choose(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """[studies] the run of least value among those `drawn` [studies, size], the first of equals."""
    picked = values[drawn].argmin(axis=1)
    chosen: np.ndarray = drawn[np.arange(len(drawn)), picked]
    return chosen


def compare(
    runs: Sequence[Mapping[str, Any]], sizes: Sequence[int], resamples: int
) -> list[dict[str, Any]]:
    """For each objective and size the chosen runs' mean test error, and above that by val_loss."""
    rng = np.random.default_rng(0)
    orders = np.stack([rng.permutation(len(runs))[: max(sizes)] for _ in range(resamples)])
    rows, baseline = [], dict[int, np.ndarray]()
    for metric, at, weights in product(METRICS, PLACES, WEIGHTS):
        pairs = np.array([scored(run, metric, at, weights) for run in runs])
        for size in sizes:
            errors = pairs[choose(pairs[:, 0], orders[:, :size]), 1]
            baseline.setdefault(size, errors)  # the first: val_loss, best, raw
            independent = max(2, len(runs) // size)
            rows.append(
                {
                    "metric": metric,
                    "at": at,
                    "weights": weights,
                    "of": size,
                    "test_error": summary(errors, independent),
                    "difference": summary(errors - baseline[size], independent),
                }
            )
    return rows


def summary(values: np.ndarray, independent: int) -> dict[str, float]:
    """Mean, and its standard error as that of so many independent studies."""
    return {"mean": float(values.mean()), "se": float(values.std() / math.sqrt(independent))}


def table(result: Mapping[str, Any]) -> str:
    lines = [
        f"{result['runs']} runs of {result['data']}, {result['resamples']} draws; test error in % "
        f"of the run that an objective takes, and (points above that by val_loss, best, raw)",
        f"{'objective':17}{'at':6}{'weights':8}"
        + "".join(f"{f'of {size}':>30}" for size in result["sizes"]),
    ]
    for metric, at, weights in product(METRICS, PLACES, WEIGHTS):
        mine = [
            row
            for row in result["rows"]
            if (row["metric"], row["at"], row["weights"]) == (metric, at, weights)
        ]
        cells = "".join(f"{cell(row):>30}" for row in mine)
        lines.append(f"{metric:17}{at:6}{weights:8}{cells}")
    return "\n".join(lines)


def cell(row: Mapping[str, Any]) -> str:
    error, above = row["test_error"], row["difference"]
    return (
        f"{100 * error['mean']:.2f} +-{100 * error['se']:.2f} "
        f"({100 * above['mean']:+.2f} +-{100 * above['se']:.2f})"
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="example: python benchmarks/objectives.py --data digits_mlp.jsonl.gz --json",
    )
    parser.add_argument("--data", type=Path, default=RECORDS, help="recorded curves")
    parser.add_argument("--resamples", type=int, default=2000, help="draws of runs (2000)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="runs in a draw")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    if not options.data.is_file():
        parser.error(f"--data {options.data}: no such file; give recorded curves")
    return options


def main() -> None:
    options = parse_options()
    runs = read_runs(options.data)
    print(f"{len(runs)} runs that did not diverge", file=sys.stderr)
    sizes = [size for size in options.sizes if 0 < size <= len(runs)]
    if not sizes:
        sys.exit(f"--sizes {options.sizes}: the data has {len(runs)} runs, give at most that")
    result = {
        "data": options.data.name,
        "runs": len(runs),
        "resamples": options.resamples,
        "sizes": sizes,
        "rows": compare(runs, sizes, options.resamples),
    }
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
