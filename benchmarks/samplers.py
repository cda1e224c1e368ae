"""Which sampler finds good recipes with the fewest epochs, on a surrogate of recorded runs.

Studies of the default pruning rule are simulated over the recorded space; a trial's losses come
from the surrogate with the noise of a seed, and the score is how far the chosen recipe's true loss
lies above the best one. Run it: python benchmarks/samplers.py
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc
from surrogate import EPOCHS, RUNGS, WORST, Surrogate, cross_validated, read_runs, recorded_space
from textbook import TEXTBOOK

from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.pruning import Pruning
from lrsearch.study.optuna.sampler import INSIDE_SHARE, WindowedTPESampler, Windows
from lrsearch.trial import pruning as trial_pruning

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "digits_mlp.jsonl.gz"
#: Epochs spent, in those of full trials.
BUDGETS = (5, 10, 20, 50)
#: Standard deviation of the loss's logarithm between seeds, from 20 re-runs of each of the best 20.
NOISE = 0.12
#: What range tests found on digits: the geometric mean of min/10 and valley, times and over 5.6.
WINDOW_FACTOR = 5.6
CENTRES = {"sgd.lr": math.sqrt(0.07 * 0.016), "adamw.lr": math.sqrt(0.025 * 0.0033)}
WINDOWS: Windows = {
    name: (centre / WINDOW_FACTOR, centre * WINDOW_FACTOR) for name, centre in CENTRES.items()
}
#: Trials that are quasi-random before the model takes over.
QMC_TRIALS = 16
#: A perturbed elite: how many there are to choose from, how far each number moves (share of its
#: range), and how often a choice is drawn anew.
ELITES, STEP, REDRAW = 3, 0.1, 0.1

optuna.logging.set_verbosity(optuna.logging.WARNING)

#: A study so far to the next trial's parameters, or None where the sampler draws them all.
Propose = Callable[[optuna.Study, int], Mapping[str, Any] | None]


# Samplers.


class Grouped(WindowedTPESampler):
    """TPE with the parameters of each group of conditions drawn jointly."""

    def __init__(self, *, seed: int, windows: Windows) -> None:
        super().__init__(seed=seed, windows=windows)
        TPESampler.__init__(self, seed=seed, multivariate=True, group=True)

    def _sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        confined = {name: self._confined(name, where) for name, where in search_space.items()}
        return super()._sample_relative(study, trial, confined)


class Cube:
    """A trial that answers with a point of the unit cube, one coordinate a parameter."""

    def __init__(self, point: Sequence[float], names: Sequence[str], windows: Windows) -> None:
        self.point = dict(
            zip([*names, *(f"{name} inside" for name in windows)], point, strict=True)
        )
        self.windows, self.params = windows, dict[str, Any]()

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        share = self.point[name]
        if name in self.windows:
            share = self._confined(name, share, math.log(low), math.log(high))
        value = low * (high / low) ** share if log else low + (high - low) * share
        self.params[name] = min(max(value, low), high)
        return self.params[name]

    def suggest_int(self, name: str, low: int, high: int, **kwargs: Any) -> int:
        raise NotImplementedError("the recorded space has no whole numbers")

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.params[name] = choices[int(self.point[name] * len(choices))]
        return self.params[name]

    def _confined(self, name: str, share: float, low: float, high: float) -> float:
        """The share of the whole log range that has `share` of its window, or of the rest."""
        first, last = ((math.log(end) - low) / (high - low) for end in self.windows[name])
        if self.point[f"{name} inside"] < INSIDE_SHARE:
            return first + share * (last - first)
        outside = share * (1 - (last - first))
        return outside if outside < first else outside + (last - first)


def names_of(space: SearchSpace) -> list[str]:
    """Every parameter of the space."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    names = dict[str, None]()
    for _ in range(500):
        trial = study.ask()
        space.suggest(trial)
        names.update(dict.fromkeys(trial.params))
    return list(names)


def cubes(names: Sequence[str], seed: int, windows: Windows, *, quasi: bool) -> Iterator[Cube]:
    """Points that cover the cube, quasi-random (Sobol) or random."""
    width = len(names) + len(windows)
    sobol, generator = qmc.Sobol(width, seed=seed), np.random.default_rng(seed)
    while True:
        point = sobol.random(1)[0] if quasi else generator.random(width)
        yield Cube(point.tolist(), names, windows)


def perturbed(study: optuna.Study, draw: random.Random) -> dict[str, Any] | None:
    """One of the best complete trials, moved a little; None as long as there are none."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(complete) < ELITES:
        return None
    elite = draw.choice(sorted(complete, key=lambda trial: trial.value or 0.0)[:ELITES])
    return {
        name: _moved(value, elite.distributions[name], draw) for name, value in elite.params.items()
    }


def _moved(value: Any, distribution: BaseDistribution, draw: random.Random) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return draw.choice(distribution.choices) if draw.random() < REDRAW else value
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log:
        value = math.exp(draw.gauss(math.log(value), STEP * math.log(high / low)))
    else:
        value = draw.gauss(value, STEP * (high - low))
    return min(max(value, low), high)


@dataclass(frozen=True, kw_only=True)
class Variant:
    sampler: str
    textbook: bool
    window: bool

    @property
    def windows(self) -> Windows:
        return WINDOWS if self.window else {}

    def make_sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        make = Grouped if self.sampler == "grouped" else WindowedTPESampler
        return make(seed=seed, windows=self.windows)

    def make_propose(self, space: SearchSpace, names: Sequence[str], seed: int) -> Propose:
        """What is enqueued before a trial, if anything is."""
        recipes = portfolio_recipes(space, TEXTBOOK) if self.textbook else []
        first = [space.params_of(recipe) for recipe in recipes]
        points = cubes(names, seed, self.windows, quasi=self.sampler == "QMC first")
        last = {"random": math.inf, "QMC first": len(first) + QMC_TRIALS}.get(self.sampler, 0)
        draw = random.Random(seed)

        def propose(study: optuna.Study, number: int) -> Mapping[str, Any] | None:
            if number < len(first):
                return first[number]
            if number < last:
                cube = next(points)
                space.suggest(cube)
                return cube.params
            if self.sampler == "mixture" and number % 2:
                return perturbed(study, draw)
            return None

        return propose


SAMPLERS = ("default", "grouped", "mixture", "QMC first", "random")
VARIANTS = [
    Variant(sampler=sampler, textbook=textbook, window=window)
    for window in (False, True)
    for textbook in (False, True)
    for sampler in SAMPLERS
]


# Studies.


def simulate(
    variant: Variant,
    surrogate: Surrogate,
    space: SearchSpace,
    names: Sequence[str],
    *,
    seed: int,
    budgets: Sequence[int],
) -> list[float]:
    """The true loss (its logarithm) of the chosen recipe at each budget."""
    propose = variant.make_propose(space, names, seed)
    study = optuna.create_study(sampler=variant.make_sampler(seed))
    noise = np.random.default_rng(seed)
    reached: list[list[float]] = [[] for _ in RUNGS]
    chosen: list[float] = []
    spent, best, truth, number = 0.0, math.inf, math.log(WORST), 0
    while True:
        params = propose(study, number)
        if params is not None:
            study.enqueue_trial(dict(params))
        trial = study.ask()
        true = surrogate.predict([space.suggest(trial)])[0]
        epochs, value = train(study, trial, true, reached, noise)
        spent, number = spent + epochs, number + 1
        while len(chosen) < len(budgets) and spent > budgets[len(chosen)] * EPOCHS:
            chosen.append(truth)  # this trial came too late for it
        if len(chosen) == len(budgets):
            return chosen
        if value < best:
            best, truth = value, float(true[-2])


def train(
    study: optuna.Study,
    trial: optuna.Trial,
    true: np.ndarray,
    reached: Sequence[list[float]],
    noise: np.random.Generator,
) -> tuple[float, float]:
    """Epochs of the trial and its value, infinite unless it is complete; told as lrsearch tells."""
    luck = noise.normal(scale=NOISE, size=len(RUNGS) + 1)
    fatal = noise.integers(2, 18) if noise.random() < true[-1] else math.inf
    pruning = Pruning()
    for rung, epoch in enumerate(RUNGS):
        if epoch >= fatal:
            return diverge(study, trial, fatal)
        raw, ema = np.exp(true[2 * rung : 2 * rung + 2] + luck[rung])
        signal = trial_pruning.signal(raw, ema)
        trial.report(raw, epoch)
        goes_on = trial_pruning.survives(
            better=sum(other < signal for other in reached[rung]),
            others=len(reached[rung]),
            eta=pruning.eta,
            min_peers=pruning.min_peers,
        )
        reached[rung].append(signal)
        if not goes_on:
            trial.set_constraint("diverged", 0.0)
            study.tell(trial, state=TrialState.PRUNED)
            return epoch, math.inf
    if fatal <= EPOCHS:
        return diverge(study, trial, fatal)
    value = float(np.exp(true[-2] + luck[-1]))
    trial.set_constraint("diverged", 0.0)
    study.tell(trial, value)
    return EPOCHS, value


def diverge(study: optuna.Study, trial: optuna.Trial, epoch: float) -> tuple[float, float]:
    trial.report(WORST, int(epoch))
    trial.set_constraint("diverged", 2.0 - epoch / EPOCHS)
    study.tell(trial, state=TrialState.PRUNED)
    return epoch, math.inf


def best_loss(surrogate: Surrogate, space: SearchSpace, names: Sequence[str], count: int) -> float:
    """The smallest true loss, as a logarithm, of `count` random recipes in the windows."""
    points = cubes(names, 0, WINDOWS, quasi=False)
    recipes = [space.suggest(next(points)) for _ in range(count)]
    return float(surrogate.predict(recipes)[:, -2].min())


# Output.


def measure(options: argparse.Namespace) -> dict[str, Any]:
    features, targets = read_runs(options.data)
    trees, budgets, seeds, count = 100, BUDGETS, options.seeds, 50_000
    if options.quick:
        trees, budgets, seeds, count = 5, (1, 2), 2, 100
    surrogate = Surrogate(features, targets, trees=trees)
    space = recorded_space()
    names = names_of(space)
    best = best_loss(surrogate, space, names, count)
    losses: dict[Variant, list[list[float]]] = {variant: [] for variant in VARIANTS}
    for seed in range(seeds):
        log(f"seed {seed}")
        for variant in VARIANTS:
            losses[variant].append(
                simulate(variant, surrogate, space, names, seed=seed, budgets=budgets)
            )
    regrets = np.array([losses[variant] for variant in VARIANTS])  # [variants, seeds, budgets]
    best = min(best, float(regrets.min()))
    regrets -= best
    return {
        "optuna": optuna.__version__,
        "runs": len(features),
        "schedules": len(space.schedules),
        "spearman": cross_validated(features, targets, trees=trees),
        "best": math.exp(best),
        "seeds": seeds,
        "budgets": list(budgets),
        "rows": [
            {**asdict(variant), **summary(regrets[i : i + 1])} for i, variant in enumerate(VARIANTS)
        ],
        "samplers": [
            {"sampler": sampler, **summary(regrets[[v.sampler == sampler for v in VARIANTS]])}
            for sampler in SAMPLERS
        ],
        "conditions": [
            {"textbook": textbook, "window": window, **summary(regrets[_under(textbook, window)])}
            for window, textbook in product((False, True), repeat=2)
        ],
    }


def _under(textbook: bool, window: bool) -> list[bool]:
    return [v.textbook == textbook and v.window == window for v in VARIANTS]


def summary(regrets: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard error at each budget; a seed's variants count as one, they share draws."""
    by_seed = regrets.mean(axis=0)
    error = by_seed.std(axis=0, ddof=1) / math.sqrt(len(by_seed))
    return {"regret": by_seed.mean(axis=0).tolist(), "error": error.tolist()}


def table(result: Mapping[str, Any]) -> str:
    """Regrets in three groups; * marks a group's best, + what is within one standard error."""
    budgets = "".join(f"{f'{budget}x':>15}" for budget in result["budgets"])
    lines = [
        f"{result['runs']} recorded runs, {result['schedules']} schedules, surrogate's "
        f"cross-validated Spearman {result['spearman']:.3f}, best loss {result['best']:.4f}; "
        f"Optuna {result['optuna']}, {result['seeds']} seeds",
        "Regret: log(true loss of the chosen recipe / best loss), mean +- standard error",
    ]
    for group in ("rows", "samplers", "conditions"):
        lines += ["", f"{'sampler':11}{'textbook':>9}{'window':>7}{budgets}"]
        for row in result[group]:
            flags = f"{shown(row, 'textbook'):>9}{shown(row, 'window'):>7}"
            cells = "".join(cell(result[group], row, i) for i in range(len(result["budgets"])))
            lines.append(f"{row.get('sampler', 'all'):11}{flags}{cells}")
    return "\n".join(lines)


def shown(row: Mapping[str, Any], flag: str) -> str:
    return {None: "all", True: "yes", False: "-"}[row.get(flag)]


def cell(group: Sequence[Mapping[str, Any]], row: Mapping[str, Any], i: int) -> str:
    best = min(group, key=lambda other: other["regret"][i])
    above = row["regret"][i] - best["regret"][i]
    apart = math.hypot(row["error"][i], best["error"][i])  # of the difference of two means
    mark = "*" if row is best else "+" if above <= apart else " "
    return f"   {row['regret'][i]:.3f}+-{row['error'][i]:.3f}".ljust(14) + mark


def log(line: str) -> None:
    print(line, file=sys.stderr)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the recorded runs")
    parser.add_argument("--seeds", type=int, default=20, help="studies of each variant (20)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="two tiny studies: does it run at all")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: at least 2 are needed for a standard error")
    if not options.data.is_file():
        parser.error(f"--data {options.data}: no such file; give the recorded digits runs")
    return options


def main() -> None:
    options = parse_options()
    result = measure(options)
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
