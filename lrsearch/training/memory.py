"""How much memory is used and free, on a device or in this machine."""

from pathlib import Path

import torch


def used_bytes(device: torch.device) -> int | None:
    """Memory in use: at most since this was last asked, of a device that tells it; else of this
    process, now; None where that is not known.
    """
    if device.type != "cpu":
        most = int(torch.accelerator.max_memory_allocated(device))
        torch.accelerator.reset_peak_memory_stats(device)
        return most
    return _kibibytes("/proc/self/status", "VmRSS")


def free_bytes(device: torch.device) -> int | None:
    """Memory that is left, on the device or in this machine; None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return _kibibytes("/proc/meminfo", "MemAvailable") if device.type == "cpu" else None


def _kibibytes(file: str, name: str) -> int | None:
    """Bytes that a line `NAME: n kB` of a file of Linux says."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith(f"{name}:")]
    return 1024 * found[0] if found else None
