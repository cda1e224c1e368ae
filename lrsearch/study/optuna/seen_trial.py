"""A trial as a sampler sees it."""

import math
from collections.abc import Mapping
from enum import IntEnum, auto
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

if TYPE_CHECKING:
    from lrsearch.study.optuna.private.seen_arrays import SeenTable


class Standing(IntEnum):
    """How TPE takes a trial, in the order in which good ones are looked for."""

    COMPLETE = auto()
    PRUNED = auto()
    INFEASIBLE = auto()
    RUNNING = auto()


def _standing(state: OptunaState, violation: float) -> Standing:
    if state == OptunaState.RUNNING:
        return Standing.RUNNING
    if violation > 0:
        return Standing.INFEASIBLE
    return Standing.COMPLETE if state == OptunaState.COMPLETE else Standing.PRUNED


class SeenTrial(FrozenTrial):
    """A trial with its parameters in the sampler's units, and in the numbers it computes with.

    What a sampler does not ask about it has not: times, attributes, and reports but the last.
    """

    def __init__(
        self,
        *,
        optuna_id: int,
        optuna_number: int,
        state: OptunaState,
        value: float | None,
        reports: Mapping[int, float],
        violation: float,
    ) -> None:
        super().__init__(
            number=optuna_number + 1,  # the trial that is drawn has 0
            state=state,
            value=value,
            params={},
            distributions={},
            intermediate_values=dict(reports),
            trial_id=optuna_id,
            datetime_start=None,
            datetime_complete=None,
            user_attrs={},
            system_attrs={},
        )
        #: What TPE sorts it by: it asks that of a thousand trials at each draw.
        self.standing = _standing(state, violation)
        #: Its places among those of its standing, the least first.
        self.rank_to_minimize = self._rank(value, violation, 1.0)
        self.rank_to_maximize = self._rank(value, violation, -1.0)
        #: Optuna's id of the trial.
        self.optuna_id = optuna_id
        #: Its number in Optuna's study, from 0: those of earlier studies come first.
        self.optuna_number = optuna_number
        self.internal: dict[str, float] = {}
        #: The table that has its numbers, and in which row; None before a sampler looked at it.
        self.table: SeenTable | None = None
        self.row = 0
        self._violations = {"0": violation} if violation > 0 else {}

    def _rank(self, value: float | None, violation: float, sign: float) -> tuple[float, float]:
        if self.standing is Standing.COMPLETE:
            return (math.inf if value is None else sign * value), 0.0
        if self.standing is Standing.INFEASIBLE:
            return violation, 0.0
        step, report = max(self.intermediate_values.items(), default=(-1, 0.0))
        return -step, math.inf if math.isnan(report) else sign * report

    @property
    def constraints(self) -> dict[str, float]:
        """What is above 0 alone."""
        return self._violations

    def add(self, name: str, number: float, distribution: BaseDistribution) -> None:
        """Add a parameter by its number; the distribution is not copied.

        One that Optuna would not have written is left out.
        """
        try:
            value = distribution.to_external_repr(number)
        except (ValueError, TypeError, LookupError):
            return
        self.internal[name] = number
        self.distributions[name] = distribution
        self.params[name] = value
