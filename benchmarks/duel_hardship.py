"""Hardships: lrsearch's own study, disturbed in a way that a user's study may be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from duel_methods import Found, Method, default_spec, recommended, run_study
from duel_training import Problem
from textbook import TEXTBOOK

from lrsearch import LrsearchError
from lrsearch.catalog.domains import Range
from lrsearch.range_test.plan import ramp_plan
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.space.search_space import SearchSpace
from lrsearch.storage import range_tests
from lrsearch.storage.ends import RangeTestEnd
from lrsearch.study.open_study import OpenStudy
from lrsearch.training.range_test import RangeTraining
from lrsearch.trial.states import TrialState

#: So many decades are lr ranges moved up, and no range test keeps the search from their upper part.
#: Of 40 random recipes 40 % then diverge on digits, 55 % on diabetes, 58 % on Fashion-MNIST.
DIVERGING_DECADES = 1.5
#: So many decades are windows wrong: too high in studies with an even seed, else too low.
WRONG_DECADES = 1.5
#: What the learning rates of textbook recipes are multiplied by, in turn: just inside the default
#: ranges, where SGD hardly trains, AdamW hardly learns anything, and AdamW is slow.
BAD_FACTORS = (1 / 40, 90.0, 1 / 9)


class HardshipError(LrsearchError):
    """The study does not know this hardship."""


def diverging(problem: Problem, seed: int, budget: int) -> Found:
    """lr ranges so high that about half of the trials diverge."""
    spec = default_spec(problem, seed, budget, range_test="none")
    moved = spec.model_copy(update={"space": _moved(spec.space, 10**DIVERGING_DECADES)})
    return recommended(run_study(problem, moved), "diverging", seed, budget)


def _moved(space: SearchSpace, factor: float) -> SearchSpace:
    optimizers = {}
    for name, fields in space.optimizers.items():
        lr = fields["lr"]
        assert isinstance(lr, Range)
        moved = replace(lr, low=lr.low * factor, high=lr.high * factor)
        optimizers[name] = {**fields, "lr": moved}
    return replace(space, optimizers=optimizers)


def wrong_range_test(problem: Problem, seed: int, budget: int) -> Found:
    """Windows that lie decades off; the tests are trained and charged as ever."""
    factor = 10 ** (WRONG_DECADES if seed % 2 == 0 else -WRONG_DECADES)
    study = run_study(
        problem,
        default_spec(problem, seed, budget),
        lambda search: _record_wrong(problem, search, factor),
    )
    return recommended(study, "wrong-range-test", seed, budget)


def _record_wrong(problem: Problem, search: OpenStudy, factor: float) -> None:
    """Train and record the study's range tests, their windows multiplied by a factor.

    Raises HardshipError if it has none.
    """
    found = 0
    while (row := search.claim_range_test("duel")) is not None:
        plan = ramp_plan(search.spec, row.optimizer)
        training = RangeTraining(search.spec, plan, problem.cache, lambda: False)
        test = training.run(row.seeds)
        assert test is not None
        window = None if test.window is None else tuple(lr * factor for lr in test.window)
        end = RangeTestEnd(
            state=TrialState.COMPLETE,
            result=replace(test, window=window).to_dict(),
            reason=test.reason,
            epochs=training.epochs,
            seconds=training.seconds,
        )
        with search.database.begin() as connection:
            range_tests.record(connection, row, end)
        found += 1
    if not found:
        raise HardshipError(
            f"--hardship wrong-range-test: with {search.spec.budget.runs:g} runs the study "
            f"has no range test; take a larger --budget or another task"
        )


def bad_defaults(problem: Problem, seed: int, budget: int) -> Found:
    """Bad recipes are trained first, in the place of the portfolio's."""
    spec = default_spec(problem, seed, budget)
    usual = portfolio_recipes(spec.space, TEXTBOOK, problem.task.batch_size)
    bad = [
        {**recipe, "optimizer": {**recipe["optimizer"], "lr": recipe["optimizer"]["lr"] * factor}}
        for recipe, factor in zip(usual, BAD_FACTORS, strict=True)
    ]
    study = run_study(problem, default_spec(problem, seed, budget, portfolio=0, enqueue=bad))
    return recommended(study, "bad-defaults", seed, budget)


def _method(hardship: Callable[[Problem, int, int], Found]) -> Method:
    def of_budgets(
        problem: Problem, seeds: Sequence[int], budgets: Sequence[int]
    ) -> Iterator[Found]:
        return (hardship(problem, seed, budget) for seed in seeds for budget in budgets)

    return of_budgets


HARDSHIPS: dict[str, Method] = {
    "diverging": _method(diverging),
    "wrong-range-test": _method(wrong_range_test),
    "bad-defaults": _method(bad_defaults),
}
