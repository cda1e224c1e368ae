"""Which device a worker trains on."""

import os
import platform
from pathlib import Path

import torch

from lrsearch.errors import DeviceError


def devices() -> list[str]:
    """Every device of this machine: one name per accelerator, else `cpu`."""
    if not torch.accelerator.is_available():
        return ["cpu"]
    kind = torch.accelerator.current_accelerator()
    assert kind is not None
    return [f"{kind.type}:{index}" for index in range(torch.accelerator.device_count())]


def local_workers() -> list[str]:
    """The devices that `run` starts a worker on: one per accelerator, else one per core."""
    found = devices()
    if found != ["cpu"]:
        return found
    if hasattr(os, "sched_getaffinity"):  # the cores this process may use; Linux only
        return ["cpu"] * len(os.sched_getaffinity(0))
    return ["cpu"] * (os.cpu_count() or 1)


def every_gpu() -> list[str]:
    """`cuda:N` for each GPU of this machine. Raises DeviceError where it has none."""
    found = devices()
    if gpus := [name for name in found if name.startswith("cuda:")]:
        return gpus
    raise DeviceError(f"--device cuda: no such device here; found {', '.join(found)}")


def pick_device(name: str) -> torch.device:
    """The torch device for `auto`, `cpu`, `mps` or `cuda:N`. Raises DeviceError if not here."""
    found = devices()
    if name == "auto":
        return torch.device(found[0])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name} is no device; accepted: auto, cpu, mps, cuda:N") from (
            error
        )
    index = device.index or 0
    if device.type != "cpu" and f"{device.type}:{index}" not in found:
        raise DeviceError(f"--device {name}: no such device here; found {', '.join(found)}")
    if device.type == "cpu":
        return torch.device("cpu")
    return torch.device(device.type, index)


def hardware(device: torch.device) -> str:
    """What a device is, the same on every machine that has the same: what timings hold for."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{device.type} {platform.machine()}"
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    """The model of this machine's processor; its kind where the system does not say more."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
