"""Which sampler adds most after the portfolio, at budgets of 5 and 10 runs.

A study trains the portfolio's first recipes, then what the sampler draws: at 5x two recipes, each
to its end, at 10x five, judged at rungs like all others. Beside lrsearch's TPE stand
Optuna's other samplers and, at each budget, the portfolio alone. A study is scored by the true loss
of the recipe that it chose: on the surrogate of recorded digits runs its prediction, on two small
tasks the mean of fresh seeds. Run it: python benchmarks/samplers_after_portfolio.py
"""

import argparse
import importlib.util
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Protocol

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from surrogate import EPOCHS, RUNGS, WORST, Surrogate, read_runs, recorded_space

from lrsearch import Recipe, StudySpec
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.space.portfolio.default import DEFAULT
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.pruning import Pruning
from lrsearch.study.optuna.sampler import WindowedTPESampler
from lrsearch.task.find import load_task
from lrsearch.training.start import start_training
from lrsearch.training.task_cache import TaskCache
from lrsearch.trial import pruning as trial_pruning

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data" / "digits_mlp.jsonl.gz"
#: Epochs spent, in those of full trainings, to how many recipes of the portfolio come first.
FIRST = {5: 2, 10: 5}
#: From this budget on rungs judge the portfolio's recipes too, as in a study.
LEAST_PRUNED = 10
#: Standard deviation of the surrogate's loss's logarithm between seeds (see samplers.py).
NOISE = 0.12
#: Seeds that judge a recipe of a task, above those of studies.
JUDGES = range(100_000, 100_004)
#: Tasks of portfolio/tasks.py, and their epochs.
TASKS = ("wine_raw", "circuit_raw")

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", "Constraints have been set, but CmaEsSampler")


class Watch(Protocol):
    """Says at a rung, from 0, with the raw and the averaged loss there, whether a run goes on."""

    def __call__(self, rung: int, raw: float, averaged: float | None) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A training: its epochs, and its loss if it came to its end."""

    epochs: float
    value: float | None
    diverged: bool = False


class Bed(Protocol):
    """What is searched on."""

    name: str
    space: SearchSpace
    epochs: float

    def train(self, recipe: Mapping[str, Any], seed: int, number: int, watch: Watch) -> Ended:
        """Trial `number` of the study of this seed."""

    def judge(self, recipe: Mapping[str, Any]) -> float:
        """The logarithm of its true loss."""


class SurrogateBed:
    """Recorded digits runs: a forest says what a recipe gives, a draw what its seed adds."""

    name = "digits, surrogate"

    def __init__(self, data: Path, trees: int) -> None:
        self.space, self.epochs = recorded_space(), float(EPOCHS)
        self.forest = Surrogate(*read_runs(data), trees=trees)

    def train(self, recipe: Mapping[str, Any], seed: int, number: int, watch: Watch) -> Ended:
        true = self.forest.predict([recipe])[0]
        noise = np.random.default_rng((seed, number))
        luck = noise.normal(scale=NOISE, size=len(RUNGS) + 1)
        fatal = noise.integers(2, 18) if noise.random() < true[-1] else math.inf
        for rung, epoch in enumerate(RUNGS):
            if epoch >= fatal:
                return Ended(epochs=fatal, value=None, diverged=True)
            raw, averaged = np.exp(true[2 * rung : 2 * rung + 2] + luck[rung])
            if not watch(rung, raw, averaged):
                return Ended(epochs=epoch, value=None)
        if fatal <= EPOCHS:
            return Ended(epochs=fatal, value=None, diverged=True)
        return Ended(epochs=EPOCHS, value=float(np.exp(true[-2] + luck[-1])))

    def judge(self, recipe: Mapping[str, Any]) -> float:
        return float(self.forest.predict([recipe])[0][-2])


class TaskBed:
    """A small task of portfolio/tasks.py, trained by the loop of a study's worker."""

    def __init__(self, name: str) -> None:
        folder = HERE / "portfolio"
        sys.path.insert(0, str(folder))
        from tasks import EPOCHS as LENGTHS

        self.name, self.epochs = name, float(LENGTHS[name])
        loaded = load_task(f"tasks.py:{name}", folder)
        self.cache = TaskCache(loaded, torch.device("cpu"))
        fields = {"task": loaded.reference, "name": "samplers", "epochs": LENGTHS[name]}
        self.spec = StudySpec.from_dict({**fields, "budget": {"trials": 1}}, where="samplers")
        self.space = self.spec.space
        self.batch_size = self.cache.task({}).batch_size
        self.judged: dict[str, float] = {}

    def train(self, recipe: Mapping[str, Any], seed: int, number: int, watch: Watch) -> Ended:
        full = self.spec.recipe(recipe, batch_size=self.batch_size).to_dict()
        # The initial weights and the data order are a study's; all its samplers have them.
        training = start_training(self.spec, Recipe.from_dict({**full, "seed": seed}), self.cache)
        best = math.inf
        while not training.done:
            training.advance(training.next_validation)
            if not training.is_due:
                break
            row = training.validate(with_ema=True)
            best = min(best, row.val_loss)
            rung = training.rung_of(row.validation)
            if rung is None or training.diverged is not None:
                continue
            if not watch(rung, row.val_loss, row.val_loss_ema):
                return Ended(epochs=training.epochs, value=None)
        if training.diverged is not None or not math.isfinite(best):
            return Ended(epochs=training.epochs, value=None, diverged=True)
        return Ended(epochs=training.epochs, value=best)

    def judge(self, recipe: Mapping[str, Any]) -> float:
        key = json.dumps(recipe, sort_keys=True)
        if key not in self.judged:
            runs = [self.train(recipe, seed, 0, lambda *_: True).value for seed in JUDGES]
            losses = [math.log(WORST) if run is None else math.log(run) for run in runs]
            self.judged[key] = fmean(losses)
        return self.judged[key]


# Samplers.


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A sampler as it is used."""

    name: str
    #: From a seed and the trials of the portfolio.
    make: Callable[[int, Sequence[FrozenTrial]], BaseSampler]
    #: Whether it draws points of the unit cube, one coordinate a parameter of the space, since it
    #: knows no parameters that depend on others.
    cube: bool = False
    #: Whether the portfolio's recipes are trained to their end at every budget.
    whole: bool = False


def _gp(seed: int, first: Sequence[FrozenTrial]) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=len(first), deterministic_objective=False)


def _cma(seed: int, first: Sequence[FrozenTrial]) -> BaseSampler:
    """It begins around the best of the portfolio (warm-started CMA-ES, Nomura et al. 2021).

    That looks at the best tenth of the trials that it is given.
    """
    complete = [trial for trial in first if trial.state == TrialState.COMPLETE]
    best = min(complete, key=lambda trial: trial.value or math.inf, default=None)
    source = None if best is None else 10 * [best]
    return CmaEsSampler(seed=seed, n_startup_trials=0, source_trials=source)


RIVALS = (
    Rival(name="TPE", make=lambda seed, first: WindowedTPESampler(seed=seed, windows={})),
    # What AutoSampler (optunahub, auto_sampler/_sampler.py at ee68019) takes in any space with a
    # choice or a parameter that depends on another, as this one is.
    Rival(
        name="AutoSampler",
        make=lambda seed, first: TPESampler(seed=seed, multivariate=True, constant_liar=True),
    ),
    Rival(name="GP", make=_gp),
    Rival(name="GP, cube", make=_gp, cube=True),
    Rival(name="CMA-ES, cube", make=_cma, cube=True),
    Rival(name="random", make=lambda seed, first: RandomSampler(seed=seed)),
    Rival(
        name="TPE, portfolio whole",
        make=lambda seed, first: WindowedTPESampler(seed=seed, windows={}),
        whole=True,
    ),
    Rival(name="CMA-ES, cube, portfolio whole", make=_cma, cube=True, whole=True),
)
#: No sampler: the portfolio's next recipes, each to its end.
ALONE = "portfolio alone"


def coordinates(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Every parameter of the space with its distribution."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    found: dict[str, BaseDistribution] = {}
    for _ in range(500):
        trial = study.ask()
        space.suggest(trial)
        found.update(trial.distributions)
    return found


class Point:
    """A trial that answers with a point of the unit cube."""

    def __init__(self, point: Mapping[str, float]) -> None:
        self.point = point

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        share = self.point[name]
        value = low * (high / low) ** share if log else low + (high - low) * share
        return min(max(value, low), high)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return round(self.suggest_float(name, low, high, log=log))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[min(int(self.point[name] * len(choices)), len(choices) - 1)]


def place(params: Mapping[str, Any], where: Mapping[str, BaseDistribution]) -> dict[str, float]:
    """The point of parameters; the middle for those that it does not have."""
    return {
        name: _share(params[name], distribution) if name in params else 0.5
        for name, distribution in where.items()
    }


def _share(value: Any, distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return (distribution.choices.index(value) + 0.5) / len(distribution.choices)
    assert isinstance(distribution, FloatDistribution), distribution
    low, high = distribution.low, distribution.high
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.5


# Studies.


class Rungs:
    """The default pruning rule over the trials of a study."""

    def __init__(self, count: int) -> None:
        self.rule = Pruning()
        self.reached: list[list[float]] = [[] for _ in range(count)]

    def goes_on(self, rung: int, raw: float, averaged: float | None) -> bool:
        signal = trial_pruning.signal(raw, averaged)
        others = self.reached[rung]
        better = sum(other < signal for other in others)
        goes_on = trial_pruning.survives(
            better=better, others=len(others), eta=self.rule.eta, min_peers=self.rule.min_peers
        )
        others.append(signal)
        return goes_on


def study(
    bed: Bed, rival: Rival | None, where: Mapping[str, BaseDistribution], seed: int, budget: int
) -> Mapping[str, Any]:
    """The recipe that a study of this seed and budget chooses; None: the portfolio alone."""
    recipes = portfolio_recipes(bed.space, DEFAULT, getattr(bed, "batch_size", None))
    first = recipes if rival is None else recipes[: FIRST[budget]]
    found = optuna.create_study(sampler=RandomSampler(seed=seed))
    rungs = Rungs(len(RUNGS))
    spent, best, chosen, number = 0.0, math.inf, recipes[0], 0
    while spent + bed.epochs <= budget * bed.epochs and (rival is not None or number < len(first)):
        if rival is not None and number == len(first):
            found.sampler = rival.make(seed, found.trials)
        trial, recipe = _proposed(bed, found, rival, where, first, number)
        whole_first = rival is None or rival.whole or budget < LEAST_PRUNED
        is_whole = whole_first and number < len(first)

        def watch(
            rung: int,
            raw: float,
            averaged: float | None,
            trial: optuna.Trial = trial,
            is_whole: bool = is_whole,
        ) -> bool:
            trial.report(raw if math.isfinite(raw) else WORST, rung)
            return rungs.goes_on(rung, raw, averaged) or is_whole

        ended = bed.train(recipe, seed, number, watch)
        _tell(found, trial, ended, bed.epochs)
        spent, number = spent + ended.epochs, number + 1
        if ended.value is not None and ended.value < best:
            best, chosen = ended.value, recipe
    return chosen


def _proposed(
    bed: Bed,
    found: optuna.Study,
    rival: Rival | None,
    where: Mapping[str, BaseDistribution],
    first: Sequence[Mapping[str, Any]],
    number: int,
) -> tuple[optuna.Trial, Mapping[str, Any]]:
    """The next trial and its recipe."""
    batch_size = getattr(bed, "batch_size", None)

    def size(_: Mapping[str, Any]) -> int | None:
        return batch_size

    given = bed.space.params_of(first[number], batch_size) if number < len(first) else None
    if rival is not None and rival.cube:
        if given is not None:
            found.enqueue_trial(place(given, where))
        trial = found.ask()
        point = {name: trial.suggest_float(name, 0.0, 1.0) for name in where}
        recipe = first[number] if given is not None else bed.space.suggest(Point(point), size)
        return trial, recipe
    if given is not None:
        found.enqueue_trial(dict(given))
    trial = found.ask()
    return trial, bed.space.suggest(trial, size)


def _tell(found: optuna.Study, trial: optuna.Trial, ended: Ended, epochs: float) -> None:
    """As a study tells: divergence is a violation, the larger the earlier."""
    trial.set_constraint("diverged", 2.0 - ended.epochs / epochs if ended.diverged else 0.0)
    if ended.value is None:
        if ended.diverged:
            trial.report(WORST, len(RUNGS))
        found.tell(trial, state=TrialState.PRUNED)
    else:
        found.tell(trial, ended.value)


# Output.


def rows(
    bed: Bed, seeds: int, budgets: Sequence[int], wanted: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """For each budget and sampler the logarithms of the chosen recipes' true losses, by seed."""
    where = coordinates(bed.space)
    rivals = [None, *RIVALS]
    for budget in budgets:
        for rival in rivals:
            if wanted and (ALONE if rival is None else rival.name) not in wanted:
                continue
            losses = [bed.judge(study(bed, rival, where, seed, budget)) for seed in range(seeds)]
            name = ALONE if rival is None else rival.name
            print(f"{bed.name}, {budget}x, {name}: {fmean(losses):.3f}", file=sys.stderr)
            yield {"task": bed.name, "budget": budget, "sampler": name, "losses": losses}


def with_error(values: Sequence[float]) -> str:
    return f"{100 * fmean(values):+.1f} ±{100 * stdev(values) / math.sqrt(len(values)):.1f}"


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """How much higher each sampler's loss is than TPE's, in percent, paired by seed."""
    columns = list(dict.fromkeys((row["task"], row["budget"]) for row in found))
    names = list(dict.fromkeys(row["sampler"] for row in found))
    losses = {(row["sampler"], row["task"], row["budget"]): row["losses"] for row in found}
    lines = ["| sampler | " + " | ".join(f"{task}, {budget}x" for task, budget in columns) + " |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    for name in names:
        cells = [
            with_error([a - b for a, b in zip(losses[name, *c], losses["TPE", *c], strict=True)])
            if name != "TPE"
            else f"{math.exp(fmean(losses[name, *c])):.4g}"
            for c in columns
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="recorded digits runs")
    parser.add_argument("--seeds", type=int, default=10, help="studies of each kind (10)")
    parser.add_argument("--tasks", default=",".join(TASKS), help="of portfolio/tasks.py; '' none")
    parser.add_argument("--samplers", default="", help="names, separated by `;` (all)")
    parser.add_argument("--no-surrogate", action="store_true", help="the tasks alone")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="two seeds, few trees, no task")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: at least 2 are needed for a standard error")
    if not options.data.is_file():
        parser.error(f"--data {options.data}: no such file; give the recorded digits runs")
    known = {ALONE, *(rival.name for rival in RIVALS)}
    wanted = [name for name in options.samplers.split(";") if name] or sorted(known)
    for name in wanted:
        if name not in known:
            parser.error(f"--samplers {name!r}: {'; '.join(sorted(known))} are known")
    if any("CMA-ES" in name for name in wanted) and importlib.util.find_spec("cmaes") is None:
        parser.error("--samplers: CMA-ES needs a package; pip install cmaes, or name others")
    return options


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    seeds, trees = (2, 5) if options.quick else (options.seeds, 100)
    names = [] if options.quick else [name for name in options.tasks.split(",") if name]
    beds: list[Bed] = [] if options.no_surrogate else [SurrogateBed(options.data, trees)]
    beds += map(TaskBed, names)
    wanted = [name for name in options.samplers.split(";") if name]
    found = [row for bed in beds for row in rows(bed, seeds, tuple(FIRST), wanted)]
    print(json.dumps({"seeds": seeds, "rows": found}) if options.json else table(found))


if __name__ == "__main__":
    main()
