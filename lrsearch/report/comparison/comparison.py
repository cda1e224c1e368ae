"""Several studies as one value: differences of their recipes, of their spaces, of their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Literal

from lrsearch.confirmation.statistics import CONFIDENCE, Difference, verdict
from lrsearch.errors import StudyError
from lrsearch.recipe.fingerprint import fingerprint
from lrsearch.report.comparison.difference import Method, mean_difference
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.comparison.settings import Searched, Setting, searched, settings
from lrsearch.spec.parts import Objective

#: A difference below this share of its interval is a rounding error of 0: values may be float32.
ROUNDING = 1e-6


class Standing(StrEnum):
    """What is shown of a study's recipe beside that of the first study."""

    BETTER = "better"  #: the whole interval is beyond the tolerance
    NO_DIFFERENCE = "no_difference"  #: the interval does not tell
    WORSE = "worse"
    ONE_SEED = "one_seed"  #: a study has one run with a fresh seed, so there is no interval
    UNCONFIRMED = "unconfirmed"  #: of one at least there is but the search's best trial
    NO_RECIPE = "no_recipe"  #: of one at least no trial is complete


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The recipe of a study beside that of the first study."""

    #: Labels.
    of: str
    against: str
    standing: Standing
    #: How much better the mean is, in the unit of the objective; above 0 where `of` is better. None
    #: where one of the two has no value to compare.
    value: float | None = None
    #: Of that value; None where a study has but one run. It holds in CONFIDENCE of all cases, and
    #: those of several comparisons hold together as often (Bonferroni; Dunn 1961, "Multiple
    #: comparisons among means").
    ci95: tuple[float, float] | None = None
    #: None where there is no interval.
    method: Method | None = None
    #: `fresh`: means of runs with fresh seeds; `search`: the best trials of the two searches.
    seeds: Literal["fresh", "search"] | None = None
    #: Runs of both that were compared, `of` first, and the fresh seeds that both have.
    n: tuple[int, int] = (0, 0)
    shared: int = 0
    #: Whether the two recipes are the same.
    same_recipe: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two or more studies of one objective; the others are compared with the first."""

    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        return self.entries[0]

    @property
    def objective(self) -> Objective:
        return self.first.report.spec.objective

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(entry.label for entry in self.entries)

    @cached_property
    def compared(self) -> tuple[Compared, ...]:
        """Each but the first with the first."""
        others = self.entries[1:]
        confidence = 1 - (1 - CONFIDENCE) / len(others)
        return tuple(_compared(entry, self.first, confidence) for entry in others)

    @cached_property
    def searched(self) -> tuple[Searched, ...]:
        """Where the spaces differ."""
        return searched([entry.report for entry in self.entries])

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Where the study files differ otherwise."""
        return settings([entry.report for entry in self.entries])


def comparison(entries: Sequence[Entry]) -> Comparison:
    """Raises StudyError for fewer than two studies, one that is named twice, or two objectives."""
    if len(entries) < 2:
        count = "1 study" if entries else "0 studies"
        raise StudyError(f"{count} to compare; name two or more")
    first = entries[0]
    known: set[tuple[str, int, float]] = set()
    for entry in entries:
        study = entry.report.study
        same = (study.name, study.study_id, study.created_at)
        if same in known:
            raise StudyError(f"study {study.name!r} is named twice; name different studies")
        known.add(same)
        mine, theirs = (_goal(each.report.spec.objective) for each in (entry, first))
        if mine != theirs:
            raise StudyError(
                f"study {entry.label!r} {mine}, but {first.label!r} {theirs}; name studies of one "
                f"objective"
            )
    return Comparison(entries=tuple(entries))


def _goal(objective: Objective) -> str:
    return f"{objective.direction}s {objective.metric}"


def _compared(entry: Entry, first: Entry, confidence: float) -> Compared:
    if entry.report.recommended is None or first.report.recommended is None:
        return Compared(of=entry.label, against=first.label, standing=Standing.NO_RECIPE)
    if not entry.fresh or not first.fresh:
        return _on_search_seeds(entry, first)
    return _on_fresh_seeds(entry, first, confidence)


def _on_fresh_seeds(entry: Entry, first: Entry, confidence: float) -> Compared:
    found = mean_difference(entry.fresh, first.fresh, confidence)
    assert found is not None  # both have values
    maximized = entry.report.spec.objective.direction == "maximize"
    better = found if maximized else -found
    return Compared(
        of=entry.label,
        against=first.label,
        standing=_standing(better.value, better.interval, _tolerance(entry, first)),
        value=_without_dust(better.value, better.interval),
        ci95=better.interval,
        method=None if better.interval is None else better.method,
        seeds="fresh",
        n=better.n,
        shared=better.shared,
        same_recipe=_is_same(entry, first),
    )


def _without_dust(value: float, ends: tuple[float, float] | None) -> float:
    dust = 0.0 if ends is None else ROUNDING * (ends[1] - ends[0])
    return value if abs(value) > dust else 0.0


def _tolerance(entry: Entry, first: Entry) -> float:
    """The larger one: what matters to neither."""
    return max(each.report.spec.tolerance for each in (entry, first))


def _standing(value: float, ends: tuple[float, float] | None, tolerance: float) -> Standing:
    if ends is None:
        return Standing.ONE_SEED
    losses = -Difference(n=2, mean=value, ci95=ends, p=None)
    found = verdict(losses, tolerance)
    named = {"better": Standing.BETTER, "worse": Standing.WORSE, "tied": Standing.NO_DIFFERENCE}
    return named[found]


def _on_search_seeds(entry: Entry, first: Entry) -> Compared:
    """The best trials of the two searches: like with like, and no verdict."""
    values = [None if e.report.best is None else e.report.best.value for e in (entry, first)]
    losses = [entry.report.spec.objective.loss(value) for value in values if value is not None]
    known = len(losses) == len(values)
    return Compared(
        of=entry.label,
        against=first.label,
        standing=Standing.UNCONFIRMED,
        value=losses[1] - losses[0] if known else None,
        seeds="search" if known else None,
        n=(1, 1) if known else (0, 0),
        same_recipe=_is_same(entry, first),
    )


def _is_same(entry: Entry, first: Entry) -> bool:
    recipes = [each.report.recommended for each in (entry, first)]
    prints = {fingerprint(recipe.to_dict()) for recipe in recipes if recipe is not None}
    return len(prints) == 1
