"""At which steps a trial is validated, and which validations are rungs."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lrsearch.errors import SpecError
from lrsearch.trial.rounding import EPSILON

#: A rung shares the nearest validation if their distance is at most this share of the rung's step;
#: else it has a validation of its own. With a validation at every epoch's end, rungs from 4 % on
#: share one in runs of 19 epochs and more.
NEAR = (1 + EPSILON) / 3
#: A curve's rows are read whole, and drawn.
MOST_VALIDATIONS = 100_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A trial's clock, in optimizer steps."""

    steps_per_epoch: int
    total_steps: int
    #: Step of each validation, rising; the last is total_steps.
    validations: tuple[int, ...]
    #: 1-based number of a validation to the rung decided there.
    rungs: Mapping[int, int]
    #: Numbers of the validations that are there for a rung alone and take a part of the validation
    #: set: they give a signal, and no row of the curve.
    partial: frozenset[int] = frozenset()
    #: How many samples such a part has.
    samples: int = 0
    #: What a plateau schedule that follows the objective looks at: `val_loss`, or a metric.
    objective: str = "val_loss"

    @property
    def rows(self) -> int:
        """Rows of a whole curve: validations of the whole set."""
        return len(self.validations) - len(self.partial)

    def row(self, validation: int) -> int:
        """The number in the curve of a validation of the whole set, both 1-based."""
        return validation - sum(number < validation for number in self.partial)


def make_plan(
    *,
    steps_per_epoch: int,
    total_steps: int,
    validate_steps: int | None = None,
    validate_fraction: float | None = None,
    validate_rungs: bool = False,
    rungs: Sequence[float] = (),
    rung_samples: int | None = None,
) -> Plan:
    """The plan with a validation each epoch, each `validate_steps`, or each such fraction.

    `rungs` are fractions of the horizon; each falls on the nearest validation, none on the last,
    and two on the same count once. With `validate_rungs` one that is far from all of them has a
    validation of its own, on so many `rung_samples`; on the whole set where that is None. Raises
    SpecError for more validations than a curve can hold.
    """
    steps = _regular(total_steps, validate_steps or steps_per_epoch, validate_fraction)
    whole = steps | {total_steps}
    if validate_rungs:
        own = far_rungs(rungs, total_steps, steps - {total_steps})
        steps |= {max(1, round(fraction * total_steps)) for fraction in own}
    validations = tuple(sorted(steps | {total_steps}))
    partial = [n for n, step in enumerate(validations, start=1) if step not in whole]
    return Plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        validations=validations,
        rungs=_rung_validations(validations, total_steps, rungs),
        partial=frozenset(() if rung_samples is None else partial),
        samples=rung_samples or 0,
    )


def _regular(total_steps: int, every: int, fraction: float | None) -> set[int]:
    """Steps `every` so many, or with each `fraction` of the horizon."""
    share = fraction or every / total_steps
    if share * MOST_VALIDATIONS < 1:
        raise SpecError(f"a trial has {1 / share:.3g} validations, but {MOST_VALIDATIONS} at most")
    if fraction is None:
        return set(range(every, total_steps + 1, every))
    count = max(1, round(1 / fraction))
    return {round(total_steps * (i + 1) / count) for i in range(count)} - {0}


def far_rungs(rungs: Sequence[float], total_steps: int, steps: Collection[int]) -> list[float]:
    """The rungs, as fractions of the horizon, that none of these steps is NEAR."""
    goals = {fraction: fraction * total_steps for fraction in rungs}
    return [
        fraction
        for fraction, goal in goals.items()
        if min((abs(step - goal) for step in steps), default=math.inf) > NEAR * goal
    ]


def _rung_validations(
    validations: Sequence[int], total_steps: int, rungs: Sequence[float]
) -> dict[int, int]:
    placed: dict[int, int] = {}
    for rung, fraction in enumerate(rungs):
        distances = [abs(step - fraction * total_steps) for step in validations[:-1]]
        if distances:
            placed.setdefault(1 + distances.index(min(distances)), rung)
    return placed
