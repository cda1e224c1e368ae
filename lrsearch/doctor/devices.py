"""Accelerators, threads, and whether torch can compile; asked of a process that may be given up."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrsearch.doctor.findings import Finding, in_units, note, ok, problem

#: Importing torch takes 2 s, from a cold disk 20 s; a driver that has not answered then hangs.
PROBE_SECONDS = 60.0
AREA = "devices"


@dataclass(frozen=True, kw_only=True)
class Device:
    """An accelerator; memory in bytes where its driver tells."""

    device: str
    name: str
    total: int | None
    free: int | None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the probe prints."""

    devices: Sequence[Device]
    threads: int
    #: Version of CUDA or ROCm that torch was built for.
    cuda_build: str | None
    triton: bool

    @classmethod
    def read(cls, output: str) -> "Seen":
        """From the last line that the probe printed. Raises ValueError or TypeError."""
        content = json.loads(output.strip().rpartition("\n")[2])
        found = [Device(**device) for device in content.pop("devices")]
        return cls(devices=found, **content)


def devices(
    *,
    seconds: float = PROBE_SECONDS,
    probe: Sequence[str] = (sys.executable, "-m", "lrsearch.doctor.probe"),
) -> Iterator[Finding]:
    """What torch can train on here."""
    try:
        ended = subprocess.run(
            probe, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        advice = "try `python -c 'import torch; torch.cuda.init()'`; restart the driver if it hangs"
        yield problem(AREA, f"torch has not answered in {seconds:g} s", advice)
        return
    try:
        seen = Seen.read(ended.stdout)
    except (ValueError, TypeError):
        lines = ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"]
        advice = "install torch anew: pytorch.org/get-started"
        yield problem(AREA, f"torch does not start: {lines[-1]}", advice)
        return
    yield from _accelerators(seen)
    yield _threads(seen)
    yield _compiler(seen)


def _accelerators(seen: Seen) -> Iterator[Finding]:
    for device in seen.devices:
        text = f"{device.device}: {device.name}"
        if device.total is None or device.free is None:
            yield ok(AREA, text)
            continue
        text += f", {in_units(device.free)} of {in_units(device.total)} free"
        if device.free < device.total / 10:
            yield note(AREA, text, "another program uses it; see nvidia-smi, or take --device")
        else:
            yield ok(AREA, text)
    if seen.devices:
        return
    if seen.cuda_build is None and Path("/dev/nvidiactl").exists():
        advice = "install a CUDA build of torch: pytorch.org/get-started"
        yield note(AREA, "an NVIDIA GPU is here, but this torch was built for the CPU", advice)
    elif seen.cuda_build is not None:
        advice = "if there is one, look at its driver: nvidia-smi"
        yield note(AREA, f"torch was built for CUDA {seen.cuda_build}, but sees no GPU", advice)
    else:
        yield ok(AREA, "no accelerator; trials train on the CPU")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _threads(seen: Seen) -> Finding:
    count = cores()
    text = f"{count} CPU core{'' if count == 1 else 's'}; torch uses {seen.threads} thread"
    text += "" if seen.threads == 1 else "s"
    if seen.threads > count:
        return note(AREA, f"{text}, more than there are cores", f"export OMP_NUM_THREADS={count}")
    return ok(AREA, text)


def _compiler(seen: Seen) -> Finding:
    """What compiled steps need, and `torch.compile` in a script."""
    if seen.devices and seen.triton:
        return ok(AREA, "torch.compile: triton is there")
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if compiler:
        return ok(AREA, f"torch.compile: {compiler}")
    advice = "long studies train without compiled steps; scripts that call torch.compile need g++"
    return note(AREA, "torch.compile: no C++ compiler", advice)
