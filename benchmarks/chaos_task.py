"""The task of chaos.py: a regression of 384 points by a small MLP. Dropout makes resuming hard, a
pause in every step makes a trial long enough to be hurt, and the metric `weights` tells one model
from another by all its bits. What trains several trials at once takes the same in float64, without
dropout."""

import hashlib
import os
import time
import weakref

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

import lrsearch

SAMPLES, BATCH = 384, 32
#: Where a worker is told how long a training step waits.
STEP_SECONDS = "CHAOS_STEP_SECONDS"

_newest: "weakref.ref[nn.Module] | None" = None


def make_model() -> nn.Module:
    global _newest
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
    _newest = weakref.ref(model)
    return model


def make_tensors(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 4, generator=generator)
    noise = 0.1 * torch.randn(samples, 1, generator=generator)
    return inputs, inputs[:, :1] * inputs[:, 1:2] + 3 * inputs[:, 2:3] + noise


def loss(output: Tensor, target: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        time.sleep(float(os.environ.get(STEP_SECONDS, "0")))
    return mse_loss(output, target)


def weights(output: Tensor, target: Tensor) -> float:
    """The first 32 bits of a SHA-256 over all weights of the model in training."""
    model = _newest() if _newest is not None else None
    assert model is not None
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return float(int.from_bytes(digest.digest()[:4], "big"))


def task_in_float64() -> lrsearch.Task:
    train, validation = make_tensors(SAMPLES, seed=0), make_tensors(64, seed=1)
    return lrsearch.Task(
        model=lambda: nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1)).double(),
        train=(train[0].double(), train[1].double()),
        validation=(validation[0].double(), validation[1].double()),
        loss=loss,
        batch_size=BATCH,
    )


def task() -> lrsearch.Task:
    train = TensorDataset(*make_tensors(SAMPLES, seed=0))
    return lrsearch.Task(
        model=make_model,
        train=lambda: DataLoader(train, BATCH, shuffle=True, num_workers=1),
        validation=make_tensors(64, seed=1),
        loss=loss,
        metrics={"weights": weights},
    )
