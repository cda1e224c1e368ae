"""What a script reports: numbers, those of averaged weights, and what a schedule follows."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from lrsearch.errors import TaskError
from lrsearch.own_loop.messages import Start
from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe


class Reports:
    """The reports of a run so far."""

    def __init__(self) -> None:
        #: How many were made outside `with run.average()`.
        self.count = 0
        #: What was reported inside since the last of them.
        self.averaged: Mapping[str, float] | None = None
        self._inside = self.used_average = False

    @contextmanager
    def inside_average(self, *, wanted: bool) -> Iterator[None]:
        """What is reported inside is of averaged weights; dropped where that is not wanted."""
        self._inside = self.used_average = True
        try:
            yield
        finally:
            self._inside = False
            if not wanted:
                self.averaged = None

    def take(self, values: Mapping[str, float]) -> bool:
        """Whether to send these as a report; those of averaged weights wait for the next."""
        if self._inside:
            self.averaged = values
            return False
        self.count += 1
        return True

    def take_averaged(self) -> Mapping[str, float] | None:
        """What was reported of averaged weights since the last report."""
        averaged, self.averaged = self.averaged, None
        return averaged

    def followed(self, values: Mapping[str, float], start: Start, recipe: Recipe) -> float | None:
        """What a plateau schedule sees: val_loss, or the objective, as its `metric` says.

        Where no val_loss is reported it is the objective, turned so that less is better.
        """
        objective = values.get(start.metric)
        if recipe.weights == "ema" and self.averaged is not None:
            objective = self.averaged.get(start.metric)
        if recipe.schedule.get("metric") == "objective":
            return objective
        if (loss := values.get("val_loss")) is not None or objective is None:
            return loss
        return objective if start.direction == "minimize" else -objective


def numbers(metrics: Fields) -> dict[str, float]:
    """Metrics as floats. Raises TaskError for what is no number."""
    found = {}
    for name, value in metrics.items():
        try:
            found[name] = float(value.detach() if isinstance(value, Tensor) else value)
        except (TypeError, ValueError, RuntimeError) as error:
            is_tensor = isinstance(value, Tensor)
            shown = f"a tensor of shape {tuple(value.shape)}" if is_tensor else repr(value)
            raise TaskError(f"run.report: {name} = {shown}, but one number is needed") from error
    return found


def require_objective(values: Mapping[str, float], metric: str, place: str) -> None:
    """Raises TaskError unless the study's objective was reported."""
    if metric not in values:
        names = ", ".join(values) or "nothing"
        raise TaskError(
            f"{place}: run.report gave {names}, but the study's objective is {metric}; write "
            f"run.report({metric}=...)"
        )
