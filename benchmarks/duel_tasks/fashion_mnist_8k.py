"""A subset of Fashion-MNIST for a small MLP, about 0.08 s an epoch.

The images are read as studies/fashion_mnist.py does, from Debian's package dataset-fashion-mnist
or FASHION_MNIST.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch

sys.path.append(str(Path(__file__).resolve().parents[2] / "studies"))

from fashion_mnist import accuracy, read_split

TRAIN_IMAGES = 8_000
VALIDATION_IMAGES = 2_000


def make_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def task() -> lrsearch.Task:
    X, y = read_split("train")
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    train = order[:TRAIN_IMAGES]
    validation = order[TRAIN_IMAGES : TRAIN_IMAGES + VALIDATION_IMAGES]
    return lrsearch.Task(
        model=make_model,
        train=(X[train], y[train]),
        validation=(X[validation], y[validation]),
        loss=cross_entropy,
        metrics={"accuracy": accuracy},
        batch_size=128,
    )
