"""How far confirmation can be trusted: bias, coverage, regret and ties over resampled studies.

Studies are drawn from a pool of recorded runs, good recipes on many seeds, and go through the
planner and the summary that the service uses. Beside them stands what people do otherwise: the best
of the search, and the best of three on three seeds. Run it: python benchmarks/confirmation.py
"""

import argparse
import gzip
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from lrsearch import StudySpec
from lrsearch.confirmation import recommendation
from lrsearch.confirmation.plan import Setting, next_runs
from lrsearch.confirmation.runs import PlannedRun
from lrsearch.confirmation.statistics import interval

POOL = Path(__file__).resolve().parent / "data" / "digits_confirmation.json.gz"
RUNS = (2, 3, 4, 5, 6, 8, 10, 15, 30)
#: Candidates and seeds of what people do: the top three, three seeds each.
USUAL = (3, 3)
SPEC = StudySpec.from_dict(
    {"name": "pool", "task": "pool.py:task", "epochs": 1, "budget": {"trials": 1}}
)
#: Fresh seeds of a resampled study begin here; 0 is the search's.
FIRST_SEED = 1


@dataclass(frozen=True, kw_only=True)
class Study:
    """One resampled study. Numbers are places in the pool."""

    #: What the search saw on its one seed: value, and smoothed score.
    values: Sequence[float]
    scores: Sequence[float]
    #: (recipe, fresh seed) to a value.
    run: Callable[[int, int], float]
    truths: Sequence[float]

    @property
    def best(self) -> int:
        return int(np.argmin(self.values))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one way to confirm said of one study."""

    chosen: int
    mean: float
    ci95: tuple[float, float] | None
    n: int
    spent: int
    #: Whether winner and runner-up are tied; None where there is no runner-up.
    tied: bool | None = None
    #: Whether that was judged by seeds that had no part in the choice.
    fresh: bool = False


def read_pool(path: Path) -> np.ndarray:
    """[recipes, seeds, 2]: value and smoothed score of every run; recipes that failed are out."""
    if not path.is_file():
        sys.exit(f"Error: --pool {path}: no such file; --record makes it")
    runs = json.loads(gzip.decompress(path.read_bytes()))["runs"]
    pool = np.array(runs, dtype=float)
    return pool[~np.isnan(pool).any(axis=(1, 2))]


def in_steps(pool: np.ndarray) -> np.ndarray:
    """The same values in steps of one standard deviation of a recipe's, as coarse errors are."""
    step = float(np.median(pool[:, :, 0].std(axis=1)))
    return np.round(pool / step) * step


def errors(pool: np.ndarray) -> np.ndarray:
    """Shares of 360 samples that are wrong, each sample by chance: half as far apart as losses."""
    draw = np.random.default_rng(1)
    means = pool[:, :, 0].mean(axis=1, keepdims=True)
    shares = 0.04 * np.sqrt(means / means.mean())
    values = draw.binomial(360, np.repeat(shares, 400, axis=1)) / 360
    return np.stack([values, values], axis=2)


#: What the studies are drawn from.
TABLES = {"losses": lambda pool: pool, "steps": in_steps, "errors": errors}


def draw_study(pool: np.ndarray, draw: np.random.Generator, *, noise: bool) -> Study:
    """Seeds are drawn with replacement, the same for all recipes, so that the truth is known.

    With `noise` all recipes are one, and each draws for itself.
    """
    recipes, seeds, _ = pool.shape
    columns = draw.integers(seeds, size=(1, 1 + max(RUNS)))
    if noise:
        pool = np.repeat(pool[[draw.integers(recipes)]], recipes, axis=0)
        columns = draw.integers(seeds, size=(recipes, 1 + max(RUNS)))
    drawn = pool[np.arange(recipes)[:, None], columns]
    return Study(
        values=drawn[:, 0, 0].tolist(),
        scores=drawn[:, 0, 1].tolist(),
        run=lambda recipe, seed: float(drawn[recipe, seed, 0]),
        truths=pool[:, :, 0].mean(axis=1).tolist(),
    )


def confirmed(study: Study, runs: int) -> Outcome:
    """As the service does it, with so many runs."""
    setting = Setting(
        runs=runs,
        top=None,
        baseline=None,
        has_test=False,
        tolerance=0.0,
        minimize=True,
        first_seed=FIRST_SEED,
        own=dict(enumerate(study.values)),
    )
    order = study.values if setting.is_small else study.scores
    candidates = [int(n) for n in np.argsort(order, kind="stable")]
    ended: list[Ended] = []
    while due := next_runs(setting, candidates, ended):
        ended += [_ended(study, run) for run in due]
    trials = {number: Trial(value=value) for number, value in enumerate(study.values)}
    first = recommendation.judged(ended, trials, SPEC)[0]
    rival = None if first.reasons is None else first.reasons.runner_up
    return Outcome(
        chosen=first.trial,
        mean=first.mean,
        ci95=first.ci95,
        n=first.n,
        spent=len(ended),
        tied=None if rival is None else rival.tied,
        fresh=rival is not None and rival.round == "report",
    )


@dataclass(frozen=True, kw_only=True)
class Ended(PlannedRun):
    """A confirmation run that has ended, as a summary reads it."""

    value: float
    state: str = "complete"
    metrics: None = None
    epochs: float = 1.0
    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A complete search trial, as a summary reads it."""

    value: float
    state: str = "complete"
    recipe: None = None


def _ended(study: Study, run: PlannedRun) -> Ended:
    return Ended(**vars(run), value=study.run(run.number, run.seed))


def search_alone(study: Study) -> Outcome:
    """The best value of the search, as it is."""
    best = study.best
    return Outcome(chosen=best, mean=study.values[best], ci95=None, n=1, spent=0)


def usual(study: Study) -> Outcome:
    """The top few on a few seeds each; the best mean is chosen, and is what is reported."""
    count, seeds = USUAL
    top = [int(n) for n in np.argsort(study.values, kind="stable")[:count]]
    values = {n: [study.run(n, FIRST_SEED + i) for i in range(seeds)] for n in top}
    best = min(top, key=lambda n: fmean(values[n]))
    ci95 = interval(values[best])
    mean = fmean(values[best])
    return Outcome(chosen=best, mean=mean, ci95=ci95, n=seeds, spent=count * seeds)


def with_error(values: Sequence[float]) -> dict[str, float]:
    """Their mean and its standard error."""
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return {"mean": fmean(values), "se": error}


def judged(studies: Sequence[Study], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Bias, coverage and regret of one way over all studies, each with its standard error."""
    both = list(zip(studies, outcomes, strict=True))
    gaps = [o.mean - s.truths[o.chosen] for s, o in both]
    intervals = [(o.ci95, gap) for o, gap in zip(outcomes, gaps, strict=True) if o.ci95]
    halves = [(ci[1] - ci[0]) / 2 for ci, _ in intervals]
    covered = [float(abs(gap) <= half) for (_, gap), half in zip(intervals, halves, strict=True)]
    spread = stdev(gaps) if len(gaps) > 1 else float("nan")
    return {
        "spent": fmean(o.spent for o in outcomes),
        "n": fmean(o.n for o in outcomes),
        "bias": with_error(gaps),
        "bias_percent": with_error(
            [100 * g / s.truths[o.chosen] for (s, o), g in zip(both, gaps, strict=True)]
        ),
        "bias_in_standard_errors": fmean(gaps) / spread,
        "coverage": with_error(covered) if covered else None,
        "half_width_percent": 100 * fmean(h / o.mean for h, o in zip(halves, outcomes, strict=True))
        if halves
        else None,
        "regret_percent": with_error(
            [100 * (s.truths[o.chosen] / min(s.truths) - 1) for s, o in both]
        ),
    }


def measure(pool: np.ndarray, count: int, runs: Sequence[int]) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    studies = [draw_study(pool, draw, noise=False) for _ in range(count)]
    equal = [draw_study(pool, draw, noise=True) for _ in range(count)]
    ways: dict[str, list[Outcome]] = {
        "best of the search": [search_alone(study) for study in studies],
        f"top {USUAL[0]}, {USUAL[1]} seeds each": [usual(study) for study in studies],
    }
    noise = {}
    for each in runs:
        ways[f"confirmed, R = {each}"] = [confirmed(study, each) for study in studies]
        told = [confirmed(study, each) for study in equal]
        rivals = [o for o in told if o.tied is not None]
        noise[each] = (
            None
            if not rivals
            else {
                "tied": with_error([float(bool(o.tied)) for o in rivals]),
                "compared_on_fresh_seeds": fmean(o.fresh for o in rivals),
            }
        )
        print(f"R = {each}", file=sys.stderr)
    return {
        "studies": count,
        "recipes": len(pool),
        "seeds": pool.shape[1],
        "ways": {name: judged(studies, outcomes) for name, outcomes in ways.items()},
        "noise_tied": noise,
    }


def show(result: Mapping[str, Any]) -> None:
    print(
        f"{result['studies']} studies of {result['recipes']} recipes, resampled from "
        f"{result['seeds']} seeds each; standard errors in brackets"
    )
    columns = ("runs", "n", "bias %", "bias / se", "coverage %", "interval ± %", "regret %")
    print(f"{'':24}" + "".join(f"{name:>15}" for name in columns))
    for name, row in result["ways"].items():
        coverage = row["coverage"] and {k: 100 * v for k, v in row["coverage"].items()}
        cells = (
            f"{row['spent']:.1f}",
            f"{row['n']:.1f}",
            _cell(row["bias_percent"]),
            f"{row['bias_in_standard_errors']:.2f}",
            _cell(coverage),
            "-" if row["half_width_percent"] is None else f"{row['half_width_percent']:.1f}",
            _cell(row["regret_percent"]),
        )
        print(f"{name:24}" + "".join(f"{cell:>15}" for cell in cells))
    print("winner and runner-up called tied where all recipes are equal, %:")
    for runs, row in result["noise_tied"].items():
        if row is None:
            print(f"  R = {runs}: nobody is compared")
            continue
        share = _cell({key: 100 * value for key, value in row["tied"].items()})
        fresh = 100 * row["compared_on_fresh_seeds"]
        print(f"  R = {runs}: {share}; {fresh:.0f} % were judged on seeds that had no part before")


def _cell(row: Mapping[str, float] | None) -> str:
    return "-" if row is None else f"{row['mean']:.2f} ({row['se']:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python benchmarks/confirmation.py --studies 400 --json",
    )
    parser.add_argument("--studies", type=int, default=1000, help="resampled studies (1000)")
    parser.add_argument("--pool", type=Path, default=POOL, help="recorded runs")
    parser.add_argument(
        "--table",
        default="losses,steps,errors",
        help="losses as recorded; in steps of a standard deviation; errors of 360 samples (all)",
    )
    parser.add_argument("--record", action="store_true", help="record the pool first, half an hour")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    for name in options.table.split(","):
        if name not in TABLES:
            parser.error(f"--table {name}: {', '.join(TABLES)} are accepted, with commas between")
    if options.studies < 2:
        parser.error(f"--studies {options.studies}: at least 2 are needed")
    if options.record:
        from confirmation_pool import record

        record(options.pool)
    pool = read_pool(options.pool)
    results = {
        name: measure(TABLES[name](pool), options.studies, RUNS)
        for name in options.table.split(",")
    }
    if options.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        print(f"{name}:")
        show(result)


if __name__ == "__main__":
    main()
