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


def local_workers(per_trial: int = 1) -> list[str]:
    """The devices that `run` starts a worker on: one per accelerator, else one per core.

    Where a trial takes several of them, the first of each group. Raises DeviceError where there are
    fewer accelerators.
    """
    found = devices()
    if found != ["cpu"]:
        devices_of_trial(torch.device(found[0]), per_trial)
        return found[: len(found) // per_trial * per_trial : per_trial]
    return ["cpu"] * max(1, cores() // per_trial)


def cores() -> int:
    """Of the CPU, those that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # the cores this process may use; Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def devices_of_trial(first: torch.device, count: int) -> list[torch.device]:
    """The devices of one trial: `first` and those that follow it; so many times the CPU if that.

    Raises DeviceError where this machine has fewer.
    """
    if first.type == "cpu" or count == 1:
        return [first] * count
    index = first.index or 0
    wanted = [torch.device(first.type, index + offset) for offset in range(count)]
    found = devices()
    missing = [str(device) for device in wanted if str(device) not in found]
    if missing:
        raise DeviceError(
            f"devices_per_trial = {count}, but from {first} on there is no {missing[0]}; found "
            f"{', '.join(found)}: make it smaller, or name an earlier --device"
        )
    return wanted


def every_gpu(per_trial: int = 1) -> list[str]:
    """`cuda:N` for each GPU of this machine, or the first of each group that trains one trial.

    Raises DeviceError where it has none, or fewer than a trial takes.
    """
    found = devices()
    if any(name.startswith("cuda:") for name in found):
        return local_workers(per_trial)
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
