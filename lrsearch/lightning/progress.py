"""Where Lightning's fit loop stands, for checkpoints at the top of an epoch."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Protocol, runtime_checkable

import lightning.pytorch as L
from torch.utils.data import DataLoader

from lrsearch.errors import TaskError
from lrsearch.plain_data import Document, Fields, Unchecked


@runtime_checkable
class _HasEpoch(Protocol):
    """A sampler whose order depends on the epoch, such as torch's DistributedSampler."""

    def set_epoch(self, epoch: int) -> None: ...


class FitProgress:
    """Counts of the loops, and states of callbacks, precision, data and the module's own.

    Weights, optimizers, schedules and random numbers are not among them: the run keeps these.
    """

    def __init__(self, trainer: L.Trainer) -> None:
        self._trainer = trainer

    def state_dict(self) -> Document:
        """Of the top of an epoch, before its batches are asked for."""
        trainer = self._trainer
        own: Document = {}
        trainer.lightning_module.on_save_checkpoint(own)
        return {
            "fit_loop": trainer.fit_loop.state_dict(),
            "callbacks": {c.state_key: c.state_dict() for c in trainer.callbacks},
            "precision": trainer.precision_plugin.state_dict(),
            "datamodule": None if trainer.datamodule is None else trainer.datamodule.state_dict(),
            "module": own,
        }

    def load_state_dict(self, state: Fields) -> None:
        """Go on at the top of an epoch: called where the first of this process begins.

        Raises TaskError where the script has other callbacks than the one that was interrupted.
        """
        trainer = self._trainer
        fit_loop, callbacks, precision, datamodule, own = deepcopy(dict(state)).values()
        mine = {callback.state_key: callback for callback in trainer.callbacks}
        if mine.keys() != callbacks.keys():
            raise TaskError(
                f"the interrupted run had the callbacks {', '.join(callbacks)}, this one has "
                f"{', '.join(mine)}; begin anew"
            )
        for key, callback in mine.items():
            if callbacks[key]:
                callback.load_state_dict(callbacks[key])
        trainer.precision_plugin.load_state_dict(precision)
        if trainer.datamodule is not None:
            trainer.datamodule.load_state_dict(datamodule)
        trainer.lightning_module.on_load_checkpoint(own)
        self._place_loops(fit_loop)

    def _place_loops(self, state: Document) -> None:
        loop = self._trainer.fit_loop
        loop.load_state_dict(state)
        # From here on as if these epochs had been trained in this process: the batches of the
        # epoch are asked for anew, with the random numbers that the run has put back.
        loop.restarting = False
        loop.on_iteration_done()
        for sampler in _samplers(self._trainer.train_dataloader):
            sampler.set_epoch(self._trainer.current_epoch)


def _samplers(loaders: Unchecked) -> Iterator[_HasEpoch]:
    """Samplers that follow the epoch, of one loader or of several."""
    if isinstance(loaders, DataLoader):
        found = (loaders.sampler, getattr(loaders.batch_sampler, "sampler", None))
        yield from (sampler for sampler in found if isinstance(sampler, _HasEpoch))
    elif isinstance(loaders, dict):
        yield from _samplers(list(loaders.values()))
    elif isinstance(loaders, list | tuple):
        for loader in loaders:
            yield from _samplers(loader)
