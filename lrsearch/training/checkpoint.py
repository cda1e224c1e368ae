"""Checkpoints: everything a trial needs to go on, in one file, to the same weights."""

import os
from pathlib import Path
from typing import Any

import torch

from lrsearch.training.loop import Training

#: Changes when an older file can no longer be read.
FORMAT = 1


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


def save(training: Training, path: Path) -> None:
    """Write the trial's state; a reader sees the old file or the new one, never half of one."""
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
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


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


def load(training: Training, path: Path) -> bool:
    """Put a fresh `training` where the checkpoint stands.

    False, and nothing changed, when it was written under other facts (recipe, torch version,
    device, threads, fused): going on from there would give other bits than an uninterrupted run.
    """
    # Onto the CPU: each state then goes where it belongs, and Adam's step counts stay there, as in
    # a run from the start (on the device each of them would be waited for in every step).
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["facts"] != facts(training):
        return False
    training.model.load_state_dict(state["model"])
    # Constructing a scheduler rewrites the optimizer's lr, so its state comes after both exist.
    training.optimizer.load_state_dict(state["optimizer"])
    training.scheduler.load_state_dict(state["scheduler"])
    if training.ema is not None:
        for mine, saved in zip(training.ema.average, state["ema"], strict=True):
            mine.copy_(saved)
    for name, value in state["position"].items():
        setattr(training, name, value)
    training.loss_sum.copy_(state["loss_sum"])
    torch.set_rng_state(state["rng"])
    if state["accelerator_rng"] is not None:
        torch.get_device_module(training.device).set_rng_state(state["accelerator_rng"])
    return True


def _accelerator_rng(device: torch.device) -> torch.Tensor | None:
    if device.type == "cpu":
        return None
    rng: torch.Tensor = torch.get_device_module(device).get_rng_state()
    return rng
