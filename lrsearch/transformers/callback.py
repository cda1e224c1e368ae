"""What a Trainer tells the run as it trains."""

from collections.abc import Iterator, Sequence

import transformers
from torch import Tensor
from transformers import TrainerControl, TrainerState, TrainingArguments

from lrsearch.errors import TaskError
from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.run import Run
from lrsearch.plain_data import Fields
from lrsearch.transformers.resume import Resuming


class Callback(transformers.TrainerCallback):
    """Epochs, losses and evaluations of a trainer, and its end."""

    def __init__(
        self,
        run: Run,
        trainer: transformers.Trainer,
        resuming: Resuming,
        monitor: Sequence[str],
    ) -> None:
        self._run, self._trainer, self._monitor = run, trainer, monitor
        self._resuming = resuming
        self._step = trainer.training_step
        self._epochs: Iterator[int] = iter(run.epochs())
        #: Losses of the batches of the optimizer step to come; their sum is its loss.
        self._losses: list[Tensor] = []
        #: Metrics since the last report: several sets for evaluation come one by one.
        self._metrics: dict[str, float] = {}
        self._ended: Ended | None = None

    def training_step(self, *args: object, **options: object) -> Tensor:
        """The trainer's own; its loss is divided for accumulation, and not scaled for fp16."""
        loss: Tensor = self._step(*args, **options)
        self._losses.append(loss.detach())
        return loss

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Raises TaskError where the trainer goes on from a checkpoint, and the run does not."""
        self._resuming.keep()
        next(self._epochs, None)
        if int(state.epoch or 0) != self._run.epoch:
            raise TaskError(
                f"the trainer is in epoch {int(state.epoch or 0)}, but the run in epoch "
                f"{self._run.epoch}; leave resume_from_checkpoint out, for a study takes "
                f"interrupted runs up by itself"
            )

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        losses, self._losses = self._losses, []
        self._run.loss(sum(losses[1:], losses[0]))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Fields,
        **_: object,
    ) -> None:
        """Report once all metrics are there. The one before the first step is not reported."""
        if not self._trainer.is_in_train or state.global_step == 0:
            return
        self._metrics.update(metrics)
        if not all(name in self._metrics for name in self._monitor):
            return
        found = {name: self._metrics[name] for name in self._monitor}
        self._metrics.clear()
        try:
            self._run.report(**found)
        except Ended as ended:
            self._ended = ended
            control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Raises Ended if the run has ended, TaskError where its metrics never came."""
        if self._ended is not None:
            raise self._ended
        missing = [name for name in self._monitor if name not in self._metrics]
        if self._metrics and missing:
            raise TaskError(
                f"monitor={missing[0]!r} is no metric of the evaluation, which has "
                f"{', '.join(self._metrics)}; compute_metrics gives others, each with eval_ before "
                f"its name"
            )
