"""The callback that a script of Lightning gives its Trainer."""

from collections.abc import Iterator, Sequence

import lightning.pytorch as L
import torch
from torch import Tensor

from lrsearch.errors import TaskError
from lrsearch.lightning.optimizers import Optimizers, require_same_length
from lrsearch.lightning.progress import FitProgress
from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.run import Run


class Callback(L.Callback):
    """Lets `trainer.fit` train the run's recipe, report what it logs, and end with the run.

    Optimizer and schedule are the recipe's; what `configure_optimizers` returns only says which
    parameters they train. The losses of training steps are told to the run. Where the run is
    pruned, the trainer stops on all ranks as Lightning's own early stopping does, and once `fit`
    has cleaned up it raises `lrsearch.Ended`. An interrupted run goes on at the top of its epoch.
    """

    def __init__(self, run: Run, monitor: str | Sequence[str] = "val_loss") -> None:
        """`monitor`: names given to `self.log`, reported after each validation.

        Without a validation loop they are reported at the end of each training epoch.
        """
        super().__init__()
        self._run = run
        self._monitor = [monitor] if isinstance(monitor, str) else list(monitor)
        self._epochs: Iterator[int] = iter(())
        self._ended: Ended | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Raises TaskError where the trainer has another horizon or device than the run."""
        if stage != "fit":
            return
        require_same_length(trainer, self._run.recipe)
        self._require_same_device(trainer)
        self._run.keep(lightning_module=pl_module, lightning_trainer=FitProgress(trainer))
        optimizers = Optimizers(self._run, trainer, pl_module, pl_module.configure_optimizers)
        pl_module.configure_optimizers = optimizers
        self._epochs = iter(self._run.epochs())

    def _require_same_device(self, trainer: L.Trainer) -> None:
        mine, theirs = self._run.device, trainer.strategy.root_device
        if self._run.kind == "plain" or trainer.world_size > 1:
            return
        if (mine.type, mine.index or 0) != (theirs.type, theirs.index or 0):
            devices = "1" if mine.type == "cpu" else f"[{mine.index or 0}]"
            raise TaskError(
                f"the trainer is on {theirs}, but the worker gave this run {mine}; write "
                f"Trainer(accelerator={mine.type!r}, devices={devices})"
            )

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Raises TaskError where the trainer goes on from a checkpoint, and the run does not."""
        next(self._epochs, None)
        if trainer.current_epoch != self._run.epoch:
            raise TaskError(
                f"the trainer is in epoch {trainer.current_epoch}, but the run in epoch "
                f"{self._run.epoch}; leave ckpt_path out, for a study takes interrupted runs up "
                f"by itself"
            )

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor
    ) -> None:
        # Lightning has divided it for accumulation, and scaled it for fp16.
        loss = loss.detach() * trainer.accumulate_grad_batches
        scaler = trainer.scaler
        self._run.loss(loss if scaler is None else loss / scaler.scale(torch.ones_like(loss)))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._report(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.enable_validation:
            self._report(trainer)

    def _report(self, trainer: L.Trainer) -> None:
        logged = trainer.callback_metrics
        missing = [name for name in self._monitor if name not in logged]
        if missing:
            raise TaskError(
                f"monitor={missing[0]!r} was not logged; logged are {', '.join(logged) or 'none'}; "
                f"write self.log({missing[0]!r}, ...) in validation_step"
            )
        try:
            self._run.report(**{name: logged[name] for name in self._monitor})
        except Ended as ended:
            self._ended = ended
        if trainer.strategy.reduce_boolean_decision(self._ended is not None, all=False):
            trainer.should_stop = True

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Raises Ended if the run has ended in `fit`, so that the script does not go on."""
        if stage == "fit" and self._ended is not None:
            raise self._ended
