"""Precision: what the forward pass computes in, and how fp16's small gradients are kept.

Weights stay in fp32. TF32 is left as the process has it: by torch's default float32 matrix products
are exact float32 (`highest`), and cuDNN's convolutions take TF32. A script that repeats a trial
then has the same, and a task's file may choose otherwise for all its workers.
"""

from contextlib import AbstractContextManager, nullcontext

import torch

from lrsearch.recipe.recipe import Precision

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
#: A loss scale below this cannot mend anything: fairseq's --min-loss-scale, 30 overflows beyond the
#: scaler's start.
MIN_SCALE = 1e-4


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """What forward passes and losses of this precision run in."""
    dtype = _DTYPES.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def widest_float(device: torch.device) -> torch.dtype:
    """The widest type of floats on a device, for sums."""
    return torch.float32 if device.type == "mps" else torch.float64


def make_scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler | None:
    """A trial's own loss scaler; None where gradients are in range without."""
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None


def tf32(device: torch.device) -> str:
    """What float32 products and convolutions use on the device; "" where it has no choice."""
    if device.type != "cuda":
        return ""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    # From torch 2.9 on, reading the old switches raises where the new ones were set.
    if hasattr(matmul, "fp32_precision"):
        conv = cudnn.conv  # type: ignore[attr-defined]
        return f"{matmul.fp32_precision}, {conv.fp32_precision}"
    return f"{matmul.allow_tf32}, {cudnn.allow_tf32}"
