"""The duel's methods: from a seed and budgets to a recipe for each budget, and what it took."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import optuna
import torch
from duel_training import Problem

from lrsearch import StudyError, StudySpec
from lrsearch.report.summary import summarize
from lrsearch.study.create import create_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import open_database
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks.program import TaskProgram
from lrsearch.worker.worker import Worker

CPU = torch.device("cpu")

#: The plain user re-runs so many of the best trials, on so many further seeds each.
RERUN_TOP, RERUN_SEEDS = 3, 3
RERUNS = RERUN_TOP * RERUN_SEEDS
#: Seeds of random search begin here: Optuna's TPE begins with random trials, with the same seed
#: the same ones.
RANDOM = 1_000_003
#: The plain user with re-runs on top of the budget.
FREE = "plain, free re-runs"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a method recommends for a budget."""

    method: str
    #: In trial equivalents.
    budget: int
    recipe: Mapping[str, Any]
    #: The number that the method itself reports for the recipe.
    own: float
    #: Really spent, by purpose.
    epochs: Mapping[str, float]
    #: How many trials ended in each state.
    trials: Mapping[str, int]


Method = Callable[[Problem, int, Sequence[int]], Iterator[Found]]


# lrsearch


def run_study(
    problem: Problem, spec: StudySpec, prepare: Callable[[OpenStudy], None] | None = None
) -> Mapping[str, Any]:
    """A whole study with one worker: what `study show --json` says of it.

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
        Worker(search, program, CPU, Stop(), fuse="off").run()
        found = summarize(search)
        database.close()
    return found


def default_spec(problem: Problem, seed: int, budget: int, **fields: Any) -> StudySpec:
    """A study of so many trial equivalents in all; what is not among `fields` is the default."""
    return problem.spec(budget={"epochs": budget * problem.epochs}, seed=seed, **fields)


def recommended(study: Mapping[str, Any], method: str, budget: int) -> Found:
    """The confirmed recipe, else the search's best. Raises StudyError if there is none."""
    confirmed = study["confirmed"]
    best = confirmed[0] if confirmed else study["best"]
    if best is None:
        raise StudyError(f"{method} at {budget}x: no trial is complete; take a larger --budget")
    return Found(
        method=method,
        budget=budget,
        recipe=best["recipe"],
        own=best["mean"] if confirmed else best["value"],
        epochs=study["epochs"],
        trials=study["counts"],
    )


def lrsearch(problem: Problem, seed: int, budgets: Sequence[int]) -> Iterator[Found]:
    """lrsearch with all its defaults: a study for each budget, everything in it charged."""
    for budget in budgets:
        study = run_study(problem, default_spec(problem, seed, budget))
        yield recommended(study, "lrsearch", budget)


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


def search_with(problem: Problem, tuner: Tuner, seed: int, most: int) -> list[Trial]:
    """Train what a tuner asks for until its budget of `most` trial equivalents is spent.

    A trial that the budget may not pay for whole is not begun, as in lrsearch.
    """
    spec = problem.plain_spec(seed)
    trials: list[Trial] = []
    spent = 0.0
    while spent + problem.epochs <= most * problem.epochs:
        fields = tuner.ask()
        recipe = spec.recipe(fields, batch_size=problem.task.batch_size).to_dict()
        run = problem.train(spec, recipe, tuner.goes_on)
        tuner.tell(run.value, complete=run.complete)
        spent += run.epochs
        trials.append(Trial(recipe=recipe, value=run.value, complete=run.complete, epochs=spent))
    return trials


def best_of(trials: Sequence[Trial], epochs: float, count: int) -> list[Trial]:
    """The best, complete ones first, of those that had ended when so many epochs were spent."""
    ended = [trial for trial in trials if trial.epochs <= epochs]
    return sorted(ended, key=lambda trial: (not trial.complete, trial.value))[:count]


def _found(
    method: str, budget: int, trials: Sequence[Trial], epochs: float, **choice: Any
) -> Found:
    ended = [trial for trial in trials if trial.epochs <= epochs]
    complete = sum(trial.complete for trial in ended)
    reruns = choice.pop("reruns", 0.0)
    return Found(
        method=method,
        budget=budget,
        epochs={"search": ended[-1].epochs, "confirm": reruns},
        trials={"complete": complete, "stopped": len(ended) - complete},
        **choice,
    )


def by_own_number(
    method: str, problem: Problem, trials: Sequence[Trial], budgets: Sequence[int]
) -> Iterator[Found]:
    """What has the best value of the search itself."""
    for budget in budgets:
        epochs = float(budget * problem.epochs)
        [best] = best_of(trials, epochs, 1)
        yield _found(method, budget, trials, epochs, recipe=best.recipe, own=best.value)


def with_reruns(
    problem: Problem, trials: Sequence[Trial], seed: int, epochs: float
) -> dict[str, Any]:
    """The one of the top 3 with the best mean over 3 further seeds; that mean, and what it cost."""
    means, cost = [], 0.0
    for trial in best_of(trials, epochs, RERUN_TOP):
        runs = [problem.rerun(trial.recipe, seed + 1 + i) for i in range(RERUN_SEEDS)]
        means.append((fmean(run.value for run in runs), trial))
        cost += sum(run.epochs for run in runs)
    own, best = min(means, key=lambda item: item[0])
    return {"recipe": best.recipe, "own": own, "reruns": cost}


def plain(problem: Problem, seed: int, budgets: Sequence[int]) -> Iterator[Found]:
    """The plain user: Optuna's TPE and MedianPruner as they come, then the top 3 re-run.

    The re-runs are charged, so the search ends that much earlier; where they would be more than
    half of the budget they are left out. `FREE` has them on top of its budget.
    """
    sampler, pruner = optuna.samplers.TPESampler(seed=seed), optuna.pruners.MedianPruner()
    tuner = OptunaTuner(problem.plain_spec(seed), sampler, pruner)
    trials = search_with(problem, tuner, seed, max(budgets))
    for budget in budgets:
        if budget < 2 * RERUNS:
            yield from by_own_number("plain", problem, trials, [budget])
        else:
            epochs = float((budget - RERUNS) * problem.epochs)
            choice = with_reruns(problem, trials, seed, epochs)
            yield _found("plain", budget, trials, epochs, **choice)
        epochs = float(budget * problem.epochs)
        choice = with_reruns(problem, trials, seed, epochs)
        yield _found(FREE, budget, trials, epochs, **choice)


def random_search(problem: Problem, seed: int, budgets: Sequence[int]) -> Iterator[Found]:
    """Random trials of the plain user's space, none stopped; the best by its own number."""
    sampler, pruner = optuna.samplers.RandomSampler(seed=RANDOM + seed), optuna.pruners.NopPruner()
    tuner = OptunaTuner(problem.plain_spec(seed), sampler, pruner)
    trials = search_with(problem, tuner, seed, max(budgets))
    yield from by_own_number("random", problem, trials, budgets)
