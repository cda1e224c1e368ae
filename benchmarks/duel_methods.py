"""The duel's methods: from seeds and budgets to a recipe for each, and what it took."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import fsum
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import optuna
import torch
from duel_training import Problem, Run

from lrsearch import StudyError, StudySpec
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.range_test.plan import range_plan
from lrsearch.report.load import report_of
from lrsearch.report.model import Report
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.space.portfolio.default import DEFAULT
from lrsearch.study.create import create_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import open_database
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks.program import TaskProgram
from lrsearch.worker.worker import Worker

CPU = torch.device("cpu")

#: The careful plain user re-runs so many of the best trials, on so many further seeds each.
RERUN_TOP, RERUN_SEEDS = 3, 3
RERUNS = RERUN_TOP * RERUN_SEEDS
#: Seeds of random search begin here: Optuna's TPE begins with random trials, with the same seed
#: the same ones.
RANDOM = 1_000_003
#: The plain user with re-runs, which are part of the budget.
CAREFUL = "plain, re-runs"
PORTFOLIO_ALONE = "portfolio alone"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a method recommends for a budget."""

    method: str
    seed: int
    #: In trial equivalents.
    budget: int
    recipe: Mapping[str, Any]
    #: The number that the method itself reports for the recipe.
    own: float
    #: Really spent, by purpose.
    epochs: Mapping[str, float]
    #: How many trials ended in each state.
    trials: Mapping[str, int]


#: What is found for each of these seeds at each of these budgets.
Method = Callable[[Problem, Sequence[int], Sequence[int]], Iterator[Found]]


# lrsearch


def run_study(
    problem: Problem,
    spec: StudySpec,
    prepare: Callable[[OpenStudy], None] | None = None,
    *,
    fuse: FuseOption = "off",
) -> Report:
    """A whole study with one worker, read when it has ended.

    Its trials go one by one, since how many train at once is measured, and would be another number
    on another day. `prepare` is given the study before the worker is.
    """
    with tempfile.TemporaryDirectory(prefix="duel-") as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'study.db'}", create=True)
        saved = spec.checkpoints.model_copy(update={"to": folder})
        search, _ = create_study(
            database,
            spec.model_copy(update={"checkpoints": saved}),
            problem.loaded,
            steps_per_epoch=problem.steps_per_epoch,
            batch_size=problem.task.batch_size,
            exist_ok=False,
        )
        if prepare is not None:
            prepare(search)
        program = TaskProgram(search.spec, problem.loaded, CPU)
        program.cache = problem.cache
        Worker(search, program, CPU, Stop(), fuse=fuse).run()
        report = report_of(search)
        database.close()
    return report


def default_spec(problem: Problem, seed: int, budget: int, **fields: Any) -> StudySpec:
    """A study of so many runs in all; what is not among `fields` is the default."""
    return problem.spec(budget={"runs": budget}, seed=seed, **fields)


def recommended(report: Report, method: str, seed: int, budget: int) -> Found:
    """The confirmed recipe, else the search's best. Raises StudyError if there is none."""
    winner, best = report.winner, report.best
    if winner is None and best is None:
        raise StudyError(f"{method} at {budget}x: no trial is complete; take a larger --budget")
    own, recipe = (winner.mean, winner.recipe) if winner is not None else (best.value, best.recipe)
    return Found(
        method=method,
        seed=seed,
        budget=budget,
        recipe=recipe,
        own=own,
        epochs=asdict(report.epochs),
        trials=dict(report.counts),
    )


def lrsearch(
    problem: Problem,
    seeds: Sequence[int],
    budgets: Sequence[int],
    *,
    name: str = "lrsearch",
    **fields: Any,
) -> Iterator[Found]:
    """lrsearch with all its defaults but `fields`: a study for each budget, all in it charged.

    Variants that come to the same study have one.
    """
    for seed in seeds:
        for budget in budgets:
            spec = default_spec(problem, seed, budget, **fields)
            key = _what_it_does(spec, problem.steps_per_epoch)
            if key not in problem.studies:
                problem.studies[key] = recommended(run_study(problem, spec), name, seed, budget)
            yield replace(problem.studies[key], method=name)


def _what_it_does(spec: StudySpec, steps_per_epoch: int) -> str:
    """Equal of studies that train the same: a range test that the budget has not is none."""
    none = {} if range_plan(spec, steps_per_epoch).tests else {"range_test": "none"}
    return json.dumps({**spec.to_dict(), **none}, sort_keys=True)


def portfolio_alone(
    problem: Problem, seeds: Sequence[int], budgets: Sequence[int]
) -> Iterator[Found]:
    """The portfolio's recipes, each to its end, in their order; the best by its own number.

    A study with `portfolio`, `pruning`, `range_test` and `confirm` none and the recipes as
    `enqueue`, whose budget is their number, at most as many as trial equivalents. Of one seed it is
    one study, of which smaller budgets see the beginning.
    """
    none = dict.fromkeys(("portfolio", "pruning", "range_test", "confirm"), "none")
    for seed in seeds:
        recipes = _portfolio(problem, seed)[: max(budgets)]
        spec = problem.spec(seed=seed, budget={"trials": len(recipes)}, enqueue=recipes, **none)
        # Nothing is stopped and nothing is sampled, so that trials may be trained together.
        fuse: FuseOption = problem.together if problem.together > 1 else "off"
        trials = run_study(problem, spec, fuse=fuse).trials
        for budget in budgets:
            begun = sorted(trials, key=lambda trial: trial.number)[:budget]
            best = min((t for t in begun if t.is_scored), key=lambda trial: trial.value)
            scored = sum(trial.is_scored for trial in begun)
            yield Found(
                method=PORTFOLIO_ALONE,
                seed=seed,
                budget=budget,
                recipe=best.recipe,
                own=best.value,
                epochs={"search": fsum(trial.epochs for trial in begun)},
                trials={"complete": scored, "stopped": len(begun) - scored},
            )


def _portfolio(problem: Problem, seed: int) -> list[dict[str, Any]]:
    space = default_spec(problem, seed, 1).space
    return portfolio_recipes(space, DEFAULT, problem.task.batch_size)


# The others: trial after trial, with all that was found by any budget up to the largest


class Tuner(Protocol):
    """A tuner that is asked, is told each epoch's raw validation loss, and is told the end."""

    def ask(self) -> dict[str, Any]:
        """The fields of the next trial's recipe."""
        ...

    def goes_on(self, validation: int, loss: float) -> bool: ...

    def tell(self, value: float, *, complete: bool) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Trial:
    recipe: Mapping[str, Any]
    #: Lowest raw validation loss.
    value: float
    complete: bool
    #: Of all trials up to its end.
    epochs: float


class OptunaTuner:
    """Optuna by ask and tell, in memory, over the plain user's space."""

    def __init__(
        self,
        spec: StudySpec,
        sampler: optuna.samplers.BaseSampler,
        pruner: optuna.pruners.BasePruner,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = spec.space
        self._study = optuna.create_study(sampler=sampler, pruner=pruner)

    def ask(self) -> dict[str, Any]:
        self._trial = self._study.ask()
        return self._space.suggest(self._trial)

    def goes_on(self, validation: int, loss: float) -> bool:
        self._trial.report(loss, validation)
        return not self._trial.should_prune()

    def tell(self, value: float, *, complete: bool) -> None:
        if complete:
            self._study.tell(self._trial, value)
        else:
            self._study.tell(self._trial, state=optuna.trial.TrialState.PRUNED)


@dataclass
class Search:
    """What a tuner asks for until its budget of `most` trial equivalents is spent.

    A trial that the budget may not pay for whole is not begun, as in lrsearch.
    """

    problem: Problem
    tuner: Tuner
    seed: int
    most: int
    trials: list[Trial] = field(default_factory=list)
    _recipe: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._spec = self.problem.plain_spec(self.seed)

    @property
    def spent(self) -> float:
        return self.trials[-1].epochs if self.trials else 0.0

    def next_recipe(self) -> Mapping[str, Any] | None:
        if self.spent + self.problem.epochs > self.most * self.problem.epochs:
            return None
        fields = self.tuner.ask()
        recipe = self._spec.recipe(fields, batch_size=self.problem.task.batch_size)
        self._recipe = recipe.to_dict()
        return self._recipe

    def goes_on(self, validation: int, loss: float) -> bool:
        return self.tuner.goes_on(validation, loss)

    def ended(self, run: Run) -> None:
        self.tuner.tell(run.value, complete=run.complete)
        epochs = self.spent + run.epochs
        trial = Trial(recipe=self._recipe, value=run.value, complete=run.complete, epochs=epochs)
        self.trials.append(trial)


def search_with(
    problem: Problem,
    tuner: Callable[[StudySpec, int], Tuner],
    seeds: Sequence[int],
    most: int,
) -> list[Search]:
    """A search for each seed. Each is one trial after another; searches are trained together."""
    specs = {seed: problem.plain_spec(seed) for seed in seeds}
    searches = [Search(problem, tuner(specs[seed], seed), seed, most) for seed in seeds]
    some = {"optimizer": {"name": "sgd", "lr": 0.1}}
    like = specs[seeds[0]].recipe(some, batch_size=problem.task.batch_size)
    problem.train(searches, like.to_dict())
    return searches


def best_of(trials: Sequence[Trial], epochs: float, count: int) -> list[Trial]:
    """The best, complete ones first, of those that had ended when so many epochs were spent."""
    ended = [trial for trial in trials if trial.epochs <= epochs]
    return sorted(ended, key=lambda trial: (not trial.complete, trial.value))[:count]


def _found(method: str, budget: int, search: Search, epochs: float, **choice: Any) -> Found:
    ended = [trial for trial in search.trials if trial.epochs <= epochs]
    complete = sum(trial.complete for trial in ended)
    reruns = choice.pop("reruns", 0.0)
    return Found(
        method=method,
        seed=search.seed,
        budget=budget,
        epochs={"search": ended[-1].epochs, "confirm": reruns},
        trials={"complete": complete, "stopped": len(ended) - complete},
        **choice,
    )


def by_own_number(method: str, search: Search, budgets: Sequence[int]) -> Iterator[Found]:
    """What has the best value of the search itself."""
    for budget in budgets:
        epochs = float(budget * search.problem.epochs)
        [best] = best_of(search.trials, epochs, 1)
        yield _found(method, budget, search, epochs, recipe=best.recipe, own=best.value)


def with_reruns(search: Search, epochs: float) -> dict[str, Any]:
    """The one of the top 3 with the best mean over 3 further seeds; that mean, and what it cost."""
    means, cost = [], 0.0
    seeds = range(search.seed + 1, search.seed + 1 + RERUN_SEEDS)
    for trial in best_of(search.trials, epochs, RERUN_TOP):
        runs = search.problem.reruns(trial.recipe, seeds)
        means.append((fmean(run.value for run in runs), trial))
        cost += sum(run.epochs for run in runs)
    own, best = min(means, key=lambda item: item[0])
    return {"recipe": best.recipe, "own": own, "reruns": cost}


def _tpe(spec: StudySpec, seed: int) -> OptunaTuner:
    return OptunaTuner(spec, optuna.samplers.TPESampler(seed=seed), optuna.pruners.MedianPruner())


def _random(spec: StudySpec, seed: int) -> OptunaTuner:
    sampler = optuna.samplers.RandomSampler(seed=RANDOM + seed)
    return OptunaTuner(spec, sampler, optuna.pruners.NopPruner())


def plain(problem: Problem, seeds: Sequence[int], budgets: Sequence[int]) -> Iterator[Found]:
    """The plain user: Optuna's TPE and MedianPruner as they come, the best by its own number.

    `CAREFUL` ends the same search earlier and re-runs its top 3; the re-runs are charged, and where
    they would be more than half of the budget there are none.
    """
    for search in search_with(problem, _tpe, seeds, max(budgets)):
        yield from by_own_number("plain", search, budgets)
        for budget in careful_budgets(budgets):
            epochs = float((budget - RERUNS) * problem.epochs)
            yield _found(CAREFUL, budget, search, epochs, **with_reruns(search, epochs))


def careful_budgets(budgets: Sequence[int]) -> list[int]:
    return [budget for budget in budgets if budget >= 2 * RERUNS]


def random_search(
    problem: Problem, seeds: Sequence[int], budgets: Sequence[int]
) -> Iterator[Found]:
    """Random trials of the plain user's space, none stopped; the best by its own number."""
    for search in search_with(problem, _random, seeds, max(budgets)):
        yield from by_own_number("random", search, budgets)
