"""The weights that a trial's value is of, kept in its checkpoints while it trains on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree

from lrsearch.training.checkpoint_file import load_plain
from lrsearch.training.model import Places
from lrsearch.training.scoring import deployed_weights
from lrsearch.training.trial_training import TrialTraining
from lrsearch.trial.curve import Validation


@dataclass(frozen=True, kw_only=True)
class KeptWeights:
    """What `model.state_dict()` would give if the model had the weights of a validation."""

    #: The validation that they were measured at.
    row: Validation
    #: By the names of the state dict, on the CPU.
    weights: Mapping[str, PyTree]

    @classmethod
    def of(cls, training: TrialTraining, row: Validation) -> Self:
        """Copies of the weights that `training` would deploy now, after this validation."""
        return cls(row=row, weights=_deployed(training))

    def to_plain(self) -> Mapping[str, PyTree]:
        """For a checkpoint: tensors and plain values."""
        return {"row": json.dumps(self.row.to_dict()), "weights": dict(self.weights)}

    @classmethod
    def from_plain(cls, content: Mapping[str, PyTree]) -> Self:
        """What `to_plain` gave. Raises KeyError, TypeError or ValueError for anything else."""
        row = Validation.from_dict(json.loads(content["row"]))
        weights = content["weights"]
        if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
            raise ValueError("its weights are no state dict")
        return cls(row=row, weights=weights)

    def write(self, path: Path) -> None:
        """Write them as a plain state dict, whole or not at all.

        `torch.load(path, weights_only=True)` reads it. Raises OSError, and RuntimeError as torch.
        """
        part = path.with_name(f"{path.name}.part")
        try:
            torch.save(dict(self.weights), part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def kept_in(checkpoint: bytes) -> KeptWeights | None:
    """The weights that a checkpoint holds; None if it has none.

    It runs no code, whatever the bytes are. Raises ValueError for what is no checkpoint, and
    whatever torch does.
    """
    kept = load_plain(checkpoint).get("kept")
    return None if kept is None else KeptWeights.from_plain(kept)


def _deployed(training: TrialTraining) -> dict[str, PyTree]:
    if training.ema is None or training.recipe.weights != "ema":
        with deployed_weights(training):
            return copies(training.model)
    averaged = training.ema.weights()
    with Places(training.model, averaged).holding(averaged):
        return copies(training.model)


def copies(model: nn.Module) -> dict[str, PyTree]:
    """A model's state dict on the CPU.

    Each has memory of its own: what is saved of a view is all that it views.
    """
    return {name: _copy(value) for name, value in model.state_dict().items()}


def _copy(value: PyTree) -> PyTree:
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value
