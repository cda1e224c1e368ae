"""The share of time in which a GPU had something to do, as nvidia-smi sees it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from statistics import fmean

import torch

#: Milliseconds between looks.
EVERY = 200

Shares = list[float]


def busy(device: torch.device, shares: Shares) -> "contextmanager[None] | nullcontext[None]":
    """Within it the share of busy time is watched, and added to `shares` at its end.

    Nothing is added where the device is no NVIDIA GPU or nvidia-smi is not there.
    """
    program = shutil.which("nvidia-smi")
    if device.type != "cuda" or program is None:
        return nullcontext()
    return _watched(program, torch.cuda.get_device_properties(device).uuid, shares)


@contextmanager
def _watched(program: str, uuid: object, shares: Shares) -> Iterator[None]:
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    command = [program, f"--id=GPU-{uuid}", *query, f"--loop-ms={EVERY}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        process.terminate()
        printed, _ = process.communicate()
        seen = [float(line) / 100 for line in printed.split() if line.isdigit()]
        if seen:
            shares.append(fmean(seen))
