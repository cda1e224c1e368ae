"""Checkpoints: everything a trial needs to go on to the same weights, and its rows, as bytes."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lrsearch.task import describe
from lrsearch.training.loop import Training

log = logging.getLogger("lrsearch")

#: Changes when an older checkpoint can no longer be read.
FORMAT = 2


def facts(training: Training) -> dict[str, Any]:
    """What must be equal for a resumed trial to give the same bits."""
    return {
        "format": FORMAT,
        "engine": "plain",
        "cohort": 1,
        "torch": str(torch.__version__),
        "device": training.device.type,
        "threads": torch.get_num_threads(),
        "fused": bool(training.recipe.optimizer.get("fused")),
        # Another study of this name, since deleted or extended, may have left the file.
        "recipe": training.recipe.to_dict(),
    }


_POSITION = (
    "step",
    "validated",
    "seconds",
    "start_loss",
    "diverged",
    "loss_seen",
    "steps_seen",
    "loss_steps",
    "lr",
    "grad_norm",
)


def pack(training: Training, pending: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """The trial's state, and the rows of its curve that are not in the database yet."""
    state: dict[str, Any] = {
        "facts": facts(training),
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scheduler": training.scheduler.state_dict(),
        "ema": None if training.ema is None else training.ema.average,
        "rng": torch.get_rng_state(),
        "accelerator_rng": _accelerator_rng(training.device),
        "position": {name: getattr(training, name) for name in _POSITION},
        "loss_sum": training.loss_sum,
        # As text: the unpickler that runs no code takes 10 us a value.
        "rows": json.dumps([dict(row) for row in pending]),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack(training: Training, data: bytes) -> list[dict[str, Any]] | None:
    """Put a fresh `training` where the checkpoint stands; the rows that came along.

    None, with a line in the log and `training` still at its start, when the checkpoint was made
    under other facts (going on from there would give other bits than an uninterrupted run) or
    cannot be read. It runs no code, whatever the bytes are.
    """
    try:
        # Onto the CPU: each state then goes where it belongs, and Adam's step counts stay there, as
        # in a run from the start (on the device each of them would be waited for in every step).
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        theirs = state["facts"]
        other = [name for name, mine in facts(training).items() if theirs.get(name) != mine]
        rows = json.loads(state["rows"]) if not other else []
    except Exception as error:  # bytes can be wrong in more ways than torch has errors for
        log.warning("a checkpoint cannot be read, starting anew: %s", describe(error))
        return None
    if other:
        log.warning("a checkpoint was made with another %s; starting anew", " and ".join(other))
        return None
    try:
        _apply(training, state)
    except Exception as error:  # a state of another shape: the task's model has changed
        training.restart()
        log.warning("a checkpoint does not fit, starting anew: %s", describe(error))
        return None
    return list(rows)


def _apply(training: Training, state: Mapping[str, Any]) -> None:
    training.model.load_state_dict(state["model"])
    # Constructing a scheduler rewrites the optimizer's lr, so its state comes after both exist.
    training.optimizer.load_state_dict(state["optimizer"])
    training.scheduler.load_state_dict(state["scheduler"])
    if training.ema is not None:
        for mine, saved in zip(training.ema.average, state["ema"], strict=True):
            mine.copy_(saved)
    for name in _POSITION:
        setattr(training, name, state["position"][name])
    training.loss_sum.copy_(state["loss_sum"])
    torch.set_rng_state(state["rng"])
    if state["accelerator_rng"] is not None:
        torch.get_device_module(training.device).set_rng_state(state["accelerator_rng"])


def _accelerator_rng(device: torch.device) -> torch.Tensor | None:
    if device.type == "cpu":
        return None
    rng: torch.Tensor = torch.get_device_module(device).get_rng_state()
    return rng
