"""Types of numbers that a device does not have."""

import torch
from torch import Tensor

from lrsearch.errors import TaskError

#: By kind of device: https://developer.apple.com/documentation/metalperformanceshaders/mpsdatatype
MISSING = {"mps": frozenset({torch.float64, torch.complex128})}


def check_type(tensor: Tensor, device: torch.device, what: str) -> None:
    """Raises TaskError for a tensor, `what` in words, that the device has no numbers for."""
    if tensor.dtype in MISSING.get(device.type, ()):
        name = str(tensor.dtype).removeprefix("torch.")
        raise TaskError(
            f"{what} is {name}, which {device.type} does not have; make it float32 with .float(), "
            f"or train with --device cpu"
        )
