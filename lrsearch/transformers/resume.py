"""How a Trainer goes on where its run was interrupted: at the top of an epoch."""

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import transformers
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import ExportableState

from lrsearch.own_loop.run import Run
from lrsearch.plain_data import Document


class CallbackStates:
    """States of the trainer's callbacks, such as the patience of early stopping."""

    def __init__(self, trainer: transformers.Trainer) -> None:
        self._trainer = trainer

    def _exported(self) -> dict[str, ExportableState]:
        callbacks = self._trainer.callback_handler.callbacks
        return {
            f"{i}: {type(callback).__name__}": callback
            for i, callback in enumerate(callbacks)
            if isinstance(callback, ExportableState)
        }

    def state_dict(self) -> Document:
        return {name: callback.state() for name, callback in self._exported().items()}

    def load_state_dict(self, states: Mapping[str, Document]) -> None:
        for name, callback in self._exported().items():
            for attribute, value in states[name]["attributes"].items():
                setattr(callback, attribute, value)


class Resuming:
    """Stands for the methods of a trainer that begin where a checkpoint of its own says.

    The run keeps weights, optimizer, schedule and random numbers, and puts them back. The trainer
    is only given the counts and the log that it would find in such a checkpoint.
    """

    def __init__(self, run: Run, trainer: transformers.Trainer) -> None:
        self._run, self._trainer = run, trainer
        self._train = trainer.train
        run.keep(transformers_callbacks=CallbackStates(trainer))
        if trainer.accelerator.scaler is not None:
            run.keep(transformers_scaler=trainer.accelerator.scaler)
        #: Of the interrupted run; empty where this one begins.
        self._state = str(run.keep(transformers_state=""))

    @property
    def goes_on(self) -> bool:
        return bool(self._state)

    def train(
        self, resume_from_checkpoint: str | bool | None = None, **options: object
    ) -> tuple[float, ...]:
        """The trainer's own, from where the run was interrupted."""
        with tempfile.TemporaryDirectory(prefix="lrsearch-") as folder:
            (Path(folder) / TRAINER_STATE_NAME).write_text(self._state, encoding="utf-8")
            trained: tuple[float, ...] = self._train(resume_from_checkpoint=folder, **options)
            return trained

    def load_nothing(self, *_: object, **__: object) -> None:
        """In place of weights that a checkpoint would have."""

    def keep(self) -> None:
        """Keep the counts and the log as they are at the top of an epoch."""
        state = json.dumps(dataclasses.asdict(self._trainer.state))
        self._run.keep(transformers_state=state)
