"""Training losses that a script hands over: their mean, and when they have diverged."""

import math
from collections.abc import Mapping
from statistics import fmean

import torch
from torch import Tensor

from lrsearch.errors import TaskError
from lrsearch.range_test.reading import has_ended
from lrsearch.training.precision import widest_float
from lrsearch.training.trial_training import CHECK_EVERY
from lrsearch.trial.divergence import NOT_FINITE_AT_START, divergence_limit

#: Why a range test has failed.
NO_LOSS = (
    "the range test needs the training loss; write run.loss(loss) before optimizer.step(), or "
    "range_test: none in the study file"
)


class Losses:
    """Sum of the losses since the last report. It stays on the device between the looks at it."""

    def __init__(self, device: torch.device) -> None:
        self._sum = torch.zeros((), dtype=widest_float(device), device=device)
        self._count = 0
        #: Both at the last look.
        self._seen, self._count_seen = 0.0, 0
        #: Of the first batch; None before it.
        self.start: float | None = None

    def add(self, loss: Tensor | float) -> None:
        """Raises TaskError for what is no number."""
        value = _number(loss)
        self._sum += value.to(self._sum.device) if isinstance(value, Tensor) else value
        self._count += 1
        if self.start is None:
            self.start = float(value)

    @property
    def is_look_due(self) -> bool:
        """Whether this loss is the first, or the sixteenth since the last look."""
        new = self._count - self._count_seen
        return new >= CHECK_EVERY or (self._count == 1 and not math.isfinite(self.start or 0.0))

    def look(self, step: int) -> str | None:
        """Read the sum from the device; why the training has diverged, if it has."""
        if self._count == self._count_seen or self.start is None:
            return None
        if not math.isfinite(self.start) and step == 0:
            return NOT_FINITE_AT_START
        total = float(self._sum)
        mean = (total - self._seen) / (self._count - self._count_seen)
        self._seen, self._count_seen = total, self._count
        limit = divergence_limit(self.start)
        if not math.isfinite(total):
            return f"training loss is not finite by step {step}"
        if mean > limit:
            return f"training loss {mean:.3g} is above {limit:.3g} at step {step}"
        return None

    def take_mean(self) -> float | None:
        """Mean since the last call; None where nothing was added."""
        mean = float(self._sum) / self._count if self._count else None
        self._sum.zero_()
        self._count, self._seen, self._count_seen = 0, 0.0, 0
        return mean

    def state_dict(self) -> dict[str, float | None]:
        return {
            "sum": float(self._sum),
            "count": self._count,
            "seen": self._seen,
            "count_seen": self._count_seen,
            "start": self.start,
        }

    def load_state_dict(self, state: Mapping[str, float | None]) -> None:
        numbers = {key: value or 0.0 for key, value in state.items()}
        self._sum.fill_(numbers["sum"])
        self._count, self._count_seen = int(numbers["count"]), int(numbers["count_seen"])
        self._seen, self.start = numbers["seen"], state["start"]


class RampReadings:
    """Of a range test: the mean loss of each optimizer step, which may come before or after it."""

    def __init__(self, total_steps: int) -> None:
        self._total = total_steps
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._of_step: list[float] = []
        self._steps = 0
        #: Whether a step's losses come after it.
        self._after = False
        #: The lr of the step whose losses are awaited.
        self._awaited: float | None = None

    def add(self, loss: Tensor | float) -> None:
        self._of_step.append(float(_number(loss)))

    def stepped(self, lr: float) -> bool:
        """An optimizer step at `lr` is done; whether the ramp is over.

        Raises TaskError once two steps are done and no loss has come.
        """
        self._steps += 1
        if self._steps == 1:
            self._after = not self._of_step
        elif not self._of_step and not self.losses:
            raise TaskError(NO_LOSS)
        belongs = self._awaited if self._after else lr
        if belongs is not None and self._of_step:
            self.lrs.append(belongs)
            self.losses.append(fmean(self._of_step) if self._finite() else math.inf)
        self._of_step.clear()
        self._awaited = lr
        return self._steps >= self._total or has_ended(self.losses)

    def _finite(self) -> bool:
        return all(map(math.isfinite, self._of_step))


def _number(loss: Tensor | float) -> Tensor | float:
    """One number, without its graph. Raises TaskError for anything else."""
    if isinstance(loss, Tensor):
        if loss.numel() != 1:
            raise TaskError(
                f"run.loss takes one number, but came a tensor of shape {tuple(loss.shape)}; "
                f"take its mean"
            )
        return loss.detach().reshape(())
    try:
        return float(loss)
    except (TypeError, ValueError) as error:
        raise TaskError(f"run.loss takes one number, but came {loss!r}") from error
