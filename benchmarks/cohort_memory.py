"""Memory that a trial takes in a fused cohort, measured in processes of their own."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

#: Steps that a measured cohort trains: by then the optimizers have their state.
STEPS = 4
MIB = 2**20


def measured(train: Callable[[int, int], torch.device], few: int, many: int) -> float | None:
    """MiB per trial: what a cohort of `many` needs beyond one of `few`, per trial more.

    `train(size, steps)` trains a new cohort and returns its device; it must be picklable. None
    where the system does not tell what a process needed at most.
    """
    if not Path("/proc/self/status").exists():
        return None
    return (_peak(train, many) - _peak(train, few)) / (many - few) / MIB


def _peak(train: Callable[[int, int], torch.device], size: int) -> int:
    """Bytes that a new process needs at most to train `size` trials."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_tell_peak, args=(theirs, train, size))
    process.start()
    theirs.close()
    try:
        peak: int = ours.recv()
    finally:
        process.join()
    return peak


def _tell_peak(answer: Connection, train: Callable[[int, int], torch.device], size: int) -> None:
    torch.set_num_threads(1)
    device = train(size, STEPS)
    if device.type == "cuda":
        answer.send(torch.cuda.max_memory_allocated(device))
        return
    # Not getrusage: its maximum includes the parent's, from before the exec.
    lines = Path("/proc/self/status").read_text().splitlines()
    answer.send(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024)


def estimated(model: torch.nn.Module, loss: Callable[[], Tensor], *, copies: int) -> float:
    """MiB per trial: `copies` of its weights, and what a forward pass keeps for the backward one.

    `loss` runs the model on one batch.
    """
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    def give(value: Any) -> Any:
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, give):
        loss()
    own = sum(p.numel() * p.element_size() for p in model.parameters())
    return (copies * own + sum(kept.values())) / MIB
