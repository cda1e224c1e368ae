"""A trial that a process of the user's code trains; the worker follows what it reports."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.training import Purpose, Training
from lrsearch.trial.curve import Validation
from lrsearch.worker.user_process.position import Position

#: A report this little before a rung, as a share of it, is at the rung: 3 of 10 epochs are at 33 %.
EARLY = 0.1


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A validation as the user's code reports it."""

    step: int
    epoch: float
    metrics: Mapping[str, float]
    #: Of the weight average; None where it was not validated.
    metrics_ema: Mapping[str, float] | None = None
    lr: float | None = None
    train_loss: float | None = None


class ProcessTraining(Training):
    """A trial in a process of its own.

    Its validations fall where the user's code reports. A rung is decided at the first report that
    has come to it.
    """

    def __init__(self, spec: StudySpec, recipe: Recipe, purpose: Purpose, folder: Path) -> None:
        self.spec, self.recipe, self.purpose, self.folder = spec, recipe, purpose, folder
        self.beat: Callable[[], None] = lambda: None
        self.step = self.validated = 0
        self.epochs_done = self.seconds = 0.0
        self.start_loss = math.nan
        self.diverged: str | None = None
        #: A report that is not in the curve yet.
        self.waiting: Reported | None = None
        self.finished = False
        #: Validation to the rung decided there, and the step of the last validation.
        self.rungs: dict[int, int] = {}
        self.validated_at = -1

    @property
    def done(self) -> bool:
        return self.finished or self.diverged is not None

    @property
    def is_due(self) -> bool:
        return self.waiting is not None and self.diverged is None

    @property
    def epochs(self) -> float:
        return self.epochs_done

    @property
    def progress(self) -> float:
        if self.recipe.steps is not None:
            return min(1.0, self.step / self.recipe.steps)
        return min(1.0, self.epochs_done / (self.recipe.epochs or 1))

    @property
    def position(self) -> int:
        return 0

    def rung_of(self, validation: int) -> int | None:
        return self.rungs.get(validation)

    def is_last(self, validation: int) -> bool:
        return validation == self.validated and self.progress >= 1.0

    @property
    def at_rung(self) -> bool:
        return self.rung_of(self.validated) is not None and self.validated_at == self.step

    def go_on(self, seconds: float) -> None:
        """Follow the process until it reports, or so long. Raises TaskError when it failed."""
        raise NotImplementedError

    def end(self, reason: str | None) -> None:
        """End the process; `reason` is None where it has come to its end."""
        raise NotImplementedError

    def may_save(self) -> bool:
        return False

    def pack(self, pending: Sequence[Validation] = ()) -> bytes:
        raise NotImplementedError

    def unpack(self, data: bytes, *, says_where: bool = True) -> list[Validation] | None:
        return None

    def where(self) -> Position:
        """Where it stands, for a checkpoint."""
        return Position(
            step=self.step,
            epochs_done=self.epochs_done,
            validated=self.validated,
            validated_at=self.validated_at,
            seconds=self.seconds,
            start_loss=self.start_loss,
            rungs=dict(self.rungs),
        )

    def stand_at(self, position: Position) -> None:
        """Go on from where a checkpoint says."""
        self.step, self.epochs_done = position.step, position.epochs_done
        self.validated, self.validated_at = position.validated, position.validated_at
        self.seconds, self.start_loss = position.seconds, position.start_loss
        self.rungs = dict(position.rungs)

    def conclude(self) -> Validation:
        """The report that waits, as a row of the curve."""
        report = self.waiting
        assert report is not None
        self.waiting = None
        self.step, self.epochs_done = report.step, report.epoch
        self.validated += 1
        self.validated_at = report.step
        self._place_rung()
        self._look_for_divergence(report)
        deploys_ema = self.recipe.weights == "ema" and report.metrics_ema is not None
        shown = report.metrics_ema if deploys_ema else report.metrics
        return Validation(
            validation=self.validated,
            step=report.step,
            epoch=report.epoch,
            lr=float(self.recipe.optimizer["lr"]) if report.lr is None else report.lr,
            train_loss=report.train_loss,
            val_loss=report.metrics.get("val_loss"),
            val_loss_ema=(report.metrics_ema or {}).get("val_loss"),
            metrics=_without_loss(shown or {}),
            metrics_ema=None if report.metrics_ema is None else _without_loss(report.metrics_ema),
            grad_norm=None,
            seconds=self.seconds,
        )

    def _place_rung(self) -> None:
        """The deepest rung that was come to; one that several trials come to at once is one."""
        pruning, progress = self.spec.pruning, self.progress
        if pruning is None or progress >= 1.0:
            return
        reached = [i for i, rung in enumerate(pruning.rungs) if progress >= rung * (1 - EARLY)]
        if reached and reached[-1] not in self.rungs.values():
            self.rungs[self.validated] = reached[-1]

    def _look_for_divergence(self, report: Reported) -> None:
        for name in dict.fromkeys((self.spec.objective.metric, "val_loss")):
            value = report.metrics.get(name)
            if value is not None and not math.isfinite(value):
                self.diverged = f"{name} is {value} at step {report.step}"
                return


def _without_loss(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value for name, value in metrics.items() if name != "val_loss"}
