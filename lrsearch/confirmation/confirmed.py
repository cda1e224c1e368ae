"""A confirmed recipe as a value: its means over fresh seeds, and how it compares."""

from collections.abc import Mapping
from dataclasses import dataclass

from lrsearch.confirmation.statistics import Difference, difference
from lrsearch.plain_data import Fields


@dataclass(frozen=True, kw_only=True)
class Optimism:
    """How much better a trial's own value was than the mean of its fresh seeds."""

    #: The trial's value in the search.
    search: float
    #: Of losses; above 0 where the search's value was better.
    gap: float
    #: Of the mean; None for a mean of 0.
    percent: float | None


@dataclass(frozen=True, kw_only=True)
class RunnerUp:
    """The next best recipe, beside the recommended one."""

    trial: int
    #: `report`: compared on fresh seeds; `choose`: on those that chose, which favour their winner.
    round: str
    tied: bool
    #: Its values less those of the recommended; None without a common seed.
    difference: Difference | None


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """What is said of the recommended recipe alone."""

    #: A phrase.
    why: str
    #: Trials whose recipes are tied with it.
    tied_with: tuple[int, ...]
    #: None if nothing else was run.
    runner_up: RunnerUp | None
    #: Loss and metrics on the task's test set, in one more run; None if there was none.
    test: Mapping[str, float | None] | None


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """What fresh seeds say of one recipe."""

    trial: int
    #: winner | rival | baseline
    role: str
    mean: float
    #: 95 % interval of the mean; None for a single run.
    ci95: tuple[float, float] | None
    #: Whether the seeds do not tell it and the recommended one apart; of that, anyone and it.
    tied: bool = False
    #: Runs that gave no value.
    failed: int
    #: Of the runs that gave one, and their seeds.
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    #: What the study's values are multiples of, as errors of few samples are; 0 where of nothing.
    step: float = 0.0
    #: How many of its runs also chose it: 0 but where there were too few for both.
    chose: int = 0
    metrics: Mapping[str, float]
    #: As stored with the trial.
    recipe: Fields
    #: Means of a run.
    epochs: float
    seconds: float
    #: Decades of learning rate around it that do well; None if too few trials tell.
    basin: float | None
    #: None if the trial was not trained to its end.
    optimism: Optimism | None
    #: Its values less those of the recommended; None for that one, and without a common seed.
    difference: Difference | None = None
    #: Of the recommended alone.
    reasons: Reasons | None = None

    @property
    def n(self) -> int:
        """Runs that gave a value."""
        return len(self.values)

    @property
    def scores(self) -> dict[int, float]:
        """Values by seed."""
        return dict(zip(self.seeds, self.values, strict=True))

    def less(self, other: "Confirmed") -> Difference | None:
        """Its values less the other's on their common seeds; None if there is none."""
        return difference(self.scores, other.scores, step=self.step)
