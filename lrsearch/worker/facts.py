"""What this worker runs: command, machine, packages, data."""

import os
import platform
from importlib.metadata import version

import torch

from lrsearch.task.worker_facts import DataFacts, WorkerFacts
from lrsearch.training.devices import hardware
from lrsearch.worker.command_line import command_line

#: Those that decide what a trial trains, and how it is stored.
PACKAGES = ("lrsearch", "torch", "optuna", "numpy", "sqlalchemy")


def facts(device: torch.device, data: tuple[DataFacts, ...]) -> WorkerFacts:
    """Of this process, which trains on the device."""
    cores = os.cpu_count() or 1
    return WorkerFacts(
        command=command_line(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=_system(),
        hardware=f"{hardware(device)}, in a machine of {cores} core{'s' if cores > 1 else ''}",
        packages={name: version(name) for name in PACKAGES},
        data=data,
    )


def _system() -> str:
    """`Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64`"""
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):  # no Linux, or one that does not say
        return kernel
    return f"{name}, {kernel}"
