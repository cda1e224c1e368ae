"""Fashion-MNIST for a small CNN: about 2 s per epoch on one CPU core with the images taken here.

Run it: lrsearch run studies/fashion_mnist.yaml

The four IDX files come with Debian's package dataset-fashion-mnist, or lie in the folder that the
environment variable FASHION_MNIST names. To train on all images set TRAIN_IMAGES = 50_000 and
VALIDATION_IMAGES = 10_000. The search sees training files only; load_test_data() is for the end.
"""

import gzip
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lrsearch

TRAIN_IMAGES = 10_000
VALIDATION_IMAGES = 2_000
DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
PIXEL_MEAN, PIXEL_DEVIATION = 0.286, 0.353  # of the 60,000 training images, in [0, 1]


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )


def load_data() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and validation set, each (images, class), drawn from the 60,000 training images."""
    X, y = read_split("train")
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    train = order[:TRAIN_IMAGES]
    validation = order[TRAIN_IMAGES : TRAIN_IMAGES + VALIDATION_IMAGES]
    return (X[train], y[train]), (X[validation], y[validation])


def load_test_data() -> tuple[Tensor, Tensor]:
    """The 10,000 images to score a finished model on, once."""
    return read_split("t10k")


def read_split(split: str) -> tuple[Tensor, Tensor]:
    """Standardised images [N, 1, 28, 28] and classes [N] of the split "train" or "t10k"."""
    folder = Path(os.environ.get("FASHION_MNIST", DEBIAN_FOLDER))
    pixels = read_idx(folder, f"{split}-images-idx3-ubyte", header_bytes=16).reshape(-1, 1, 28, 28)
    classes = read_idx(folder, f"{split}-labels-idx1-ubyte", header_bytes=8)
    images = (torch.tensor(pixels, dtype=torch.float32) / 255 - PIXEL_MEAN) / PIXEL_DEVIATION
    return images, torch.tensor(classes, dtype=torch.int64)


def read_idx(folder: Path, name: str, header_bytes: int) -> np.ndarray:
    if (folder / f"{name}.gz").is_file():
        content = gzip.decompress((folder / f"{name}.gz").read_bytes())
    elif (folder / name).is_file():
        content = (folder / name).read_bytes()
    else:
        raise FileNotFoundError(
            f"no {name}.gz in {folder}: apt install dataset-fashion-mnist, "
            "or set FASHION_MNIST to a folder with the four IDX files"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header_bytes)


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
        batch_size=64,
    )
