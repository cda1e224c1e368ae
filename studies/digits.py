"""Handwritten digits, 8 x 8 pixels, for a small MLP: the quickstart, seconds per trial on a CPU.

Run it: lrsearch run studies/digits.yaml
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lrsearch

VALIDATION_IMAGES = 360


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def load_data() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and validation set, each (pixels in [0, 1], class)."""
    X, y = load_digits(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, test_size=VALIDATION_IMAGES, random_state=0, stratify=y
    )
    return to_tensors(X_train, y_train), to_tensors(X_val, y_val)


def to_tensors(pixels: np.ndarray, classes: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(classes, dtype=torch.int64)


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(dim=1) == target).float().mean()


def task() -> lrsearch.Task:
    train, validation = load_data()
    return lrsearch.Task(
        model=make_model,
        train=train,
        validation=validation,
        loss=cross_entropy,
        metrics={"accuracy": accuracy},
        batch_size=32,
    )
