"""Which optimizer did better, and which schedule, and whether more than chance tells them apart."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrsearch.confirmation.statistics import CONFIDENCE
from lrsearch.report.model import Report

if TYPE_CHECKING:
    from lrsearch.report.figures.data.best_of import Compared, Group
    from lrsearch.spec.parts import Objective

#: Options with fewer trials are not ranked: a bootstrap of so few says nothing.
LEAST_TRIALS = 4
#: Of fewer together nothing is ranked: four and four are told apart only where they do not overlap,
#: and a small study is read without numpy.
LEAST_TOGETHER = 15


@dataclass(frozen=True, kw_only=True)
class Option:
    """An optimizer or a schedule, by what the best of k of its trials is expected to reach."""

    name: str
    #: Ended trials without the failed ones.
    trials: int
    #: In the objective's own direction, with the ends of its 95 % interval by a bootstrap.
    expected: float
    low: float
    high: float
    #: How often chance alone parts it as far from the first, by a permutation test; None of the
    #: first.
    p: float | None
    #: Whether that is rare enough, as many pairs as there are being looked at (Bonferroni 1936).
    is_worse: bool


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Options of one kind, the best first; trials of the search, on its one seed."""

    k: int
    #: Whose schedules these are; None of optimizers.
    optimizer: str | None
    options: tuple[Option, ...]
    #: Names of those with too few trials, or none with a value.
    left_out: tuple[str, ...]


def optimizer_ranking(report: Report) -> Ranking | None:
    """Optimizers, whatever else their trials have; None unless two can be compared."""
    names = (trial.parsed.optimizer_name for trial in report.trials if trial.parsed is not None)
    if not _may_rank(names):
        return None
    from lrsearch.report.figures.data.best_of import by_optimizer  # numpy: not for who only reads

    return _ranking(by_optimizer(report), None, report.spec.objective)


def schedule_ranking(report: Report) -> Ranking | None:
    """Schedules of the recommended recipe's optimizer; None unless two can be compared."""
    recipe = report.recommended
    if recipe is None:
        return None
    own = recipe.optimizer_name
    recipes = (trial.parsed for trial in report.trials if trial.parsed is not None)
    if not _may_rank(r.schedule_name for r in recipes if r.optimizer_name == own):
        return None
    from lrsearch.report.figures.data.best_of import by_schedule  # numpy: not for who only reads

    return _ranking(by_schedule(report, own), own, report.spec.objective)


def _may_rank(names: Iterable[str]) -> bool:
    counts = [count for count in Counter(names).values() if count >= LEAST_TRIALS]
    return len(counts) >= 2 and sum(counts) >= LEAST_TOGETHER


def _ranking(compared: "Compared", optimizer: str | None, objective: "Objective") -> Ranking | None:
    from lrsearch.advice.best_of import chance

    groups = [g for g in compared.groups if g.expected is not None and g.trials >= LEAST_TRIALS]
    if len(groups) < 2:
        return None
    ranked = sorted(groups, key=lambda g: objective.loss(g.expected.value) if g.expected else 0.0)
    pairs = len(ranked) * (len(ranked) - 1) / 2
    k, first = compared.k, ranked[0]
    ps = [None, *(chance(first.losses, other.losses, k) for other in ranked[1:])]
    names = {_name(group, optimizer) for group in groups}
    return Ranking(
        k=k,
        optimizer=optimizer,
        options=tuple(
            _option(group, optimizer, p, p is not None and p <= (1 - CONFIDENCE) / pairs)
            for group, p in zip(ranked, ps, strict=True)
        ),
        left_out=tuple(
            name for group in compared.groups if (name := _name(group, optimizer)) not in names
        ),
    )


def _option(group: "Group", optimizer: str | None, p: float | None, is_worse: bool) -> Option:
    assert group.expected is not None  # others are left out
    return Option(
        name=_name(group, optimizer),
        trials=group.trials,
        expected=group.expected.value,
        low=group.expected.low,
        high=group.expected.high,
        p=p,
        is_worse=is_worse,
    )


def _name(group: "Group", optimizer: str | None) -> str:
    return group.optimizer if optimizer is None else group.schedule or ""
