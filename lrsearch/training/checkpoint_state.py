"""Checkpoints: everything a trial needs to go on to the same weights, and its rows, as bytes."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lrsearch.errors import describe
from lrsearch.training.flat_weights import gather_state, spread_state
from lrsearch.training.precision import tf32
from lrsearch.training.trial_training import TrialTraining
from lrsearch.trial.curve import Validation

log = logging.getLogger("lrsearch")

#: Changes when an older checkpoint can no longer be read.
FORMAT = 4


def facts(training: TrialTraining) -> dict[str, Any]:
    """What must be equal for a resumed trial to give the same bits."""
    return {
        "format": FORMAT,
        "engine": training.engine,
        "cohort": training.cohort,
        "torch": str(torch.__version__),
        "device": training.device.type,
        "threads": torch.get_num_threads(),
        "fused": bool(training.recipe.optimizer.get("fused")),
        "tf32": tf32(training.device),
        # Another study of this name, since deleted or extended, may have left the file.
        "recipe": training.recipe.to_dict(),
    }


#: Facts that may differ: the engines agree to rounding.
_MAY_DIFFER = ("engine", "cohort")

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


def pack(training: TrialTraining, pending: Sequence[Validation] = ()) -> bytes:
    """The trial's state, and the rows of its curve that are not in the database yet."""
    state: dict[str, Any] = {
        "facts": facts(training),
        # Copies: what is saved of a view is all that it is a view of.
        "model": {name: _copy(value) for name, value in training.model.state_dict().items()},
        "buffers": {name: _copy(value) for name, value in _left_out(training).items()},
        "optimizer": training.optimizer.state_dict(),
        "flat": training.is_flat,
        "scheduler": training.scheduler.state_dict(),
        "scaler": None if training.scaler is None else training.scaler.state_dict(),
        "ema": None if training.ema is None else [_copy(part) for part in training.ema.average],
        "rng": torch.get_rng_state(),
        "accelerator_rng": _accelerator_rng(training.device),
        "position": {name: getattr(training, name) for name in _POSITION},
        "loss_sum": _copy(training.loss_sum),
        # As text: the unpickler that runs no code takes 10 us a value.
        "rows": json.dumps([row.to_dict() for row in pending]),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack(
    training: TrialTraining, data: bytes, *, says_where: bool = True
) -> list[Validation] | None:
    """Put a fresh `training` where the checkpoint stands; the rows that came along.

    Where it was made by another engine, a line in the log says so unless `says_where` is False.

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
        elsewhere = [other.pop(other.index(name)) for name in _MAY_DIFFER if name in other]
        rows = json.loads(state["rows"]) if not other else []
        curve = [Validation.from_dict(row) for row in rows]
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
    if elsewhere and says_where:
        log.info(
            "a checkpoint made %s goes on %s: equal to rounding",
            *map(_where, (theirs, facts(training))),
        )
    return curve


def _where(facts: Mapping[str, Any]) -> str:
    return "one by one" if facts["engine"] == "solo" else f"with {facts['cohort']} at once"


def _apply(training: TrialTraining, state: Mapping[str, Any]) -> None:
    training.model.load_state_dict(state["model"])
    for name, value in _left_out(training).items():
        value.copy_(state["buffers"][name])
    # Constructing a scheduler rewrites the optimizer's lr, so its state comes after both exist.
    training.optimizer.load_state_dict(_optimizer_state(training, state))
    training.scheduler.load_state_dict(state["scheduler"])
    if training.scaler is not None:
        training.scaler.load_state_dict(state["scaler"])
    if training.ema is not None:
        for mine, saved in zip(training.ema.average, state["ema"], strict=True):
            mine.copy_(saved)
    for name in _POSITION:
        setattr(training, name, state["position"][name])
    training.loss_sum.copy_(state["loss_sum"])
    torch.set_rng_state(state["rng"])
    if state["accelerator_rng"] is not None:
        torch.get_device_module(training.device).set_rng_state(state["accelerator_rng"])


def _left_out(training: TrialTraining) -> dict[str, torch.Tensor]:
    """Buffers that are not persistent: a model's state dict leaves them out."""
    kept = training.model.state_dict().keys()
    return {name: b for name, b in training.model.named_buffers() if name not in kept}


def _optimizer_state(training: TrialTraining, state: Mapping[str, Any]) -> dict[str, Any]:
    """The saved state for the parameters that the optimizer here has, flat or one by one."""
    saved: dict[str, Any] = state["optimizer"]
    if state["flat"] == training.is_flat or training.row is None:
        return saved
    if state["flat"]:
        return spread_state(saved, training.groups(), training.row.layout)
    gathered = gather_state(saved, training.groups(), training.row.layout)
    if gathered is None:
        training.spread()
        return saved
    return gathered


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _accelerator_rng(device: torch.device) -> torch.Tensor | None:
    if device.type == "cpu":
        return None
    rng: torch.Tensor = torch.get_device_module(device).get_rng_state()
    return rng
