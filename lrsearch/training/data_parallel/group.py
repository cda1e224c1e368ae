"""The process group of a trial's processes, in torch.distributed."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import FileStore  # type: ignore[attr-defined]

from lrsearch.training.data_parallel.orders import Setup

#: Which network gloo listens on.
INTERFACE = "GLOO_SOCKET_IFNAME"
#: Names of the loopback interface, on Linux and on macOS.
LOOPBACK = ("lo", "lo0")


def join(setup: Setup) -> None:
    """Find the other processes, which are on this machine. Raises what torch.distributed does.

    They meet in a file, so that no port has to be free.
    """
    device, place = torch.device(setup.device), setup.place
    if device.type != "cpu":
        torch.accelerator.set_device_index(device.index or 0)
    with _on_loopback():
        dist.init_process_group(
            backend(device),
            store=FileStore(str(setup.store), place.ranks),
            rank=place.rank,
            world_size=place.ranks,
            timeout=timedelta(seconds=setup.seconds),
        )


def leave() -> None:
    """Let go of the group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def backend(device: torch.device) -> str:
    """torch's own for this kind of device: gloo for CPUs, nccl for CUDA."""
    return dist.get_default_backend_for_device(device.type)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let gloo listen where no other machine reaches it, unless the user has said where."""
    names = {name for _, name in socket.if_nameindex()}
    found = next((name for name in LOOPBACK if name in names), None)
    if found is None or INTERFACE in os.environ:
        yield
        return
    os.environ[INTERFACE] = found
    try:
        yield
    finally:
        del os.environ[INTERFACE]
