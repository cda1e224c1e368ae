"""A trial as a sampler sees it."""

from collections.abc import Mapping

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState


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
        #: Optuna's id of the trial.
        self.optuna_id = optuna_id
        #: Its number in Optuna's study, from 0: those of earlier studies come first.
        self.optuna_number = optuna_number
        self.internal: dict[str, float] = {}
        self._violations = {"0": violation} if violation > 0 else {}

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
