"""Training tasks on images: patches of scikit-learn's two sample photographs, and drawn shapes."""

from itertools import pairwise

import torch
from sklearn.datasets import load_sample_images
from tabular import SEED, halves, mlp
from torch import Tensor, nn
from torch.nn import functional as F

import lrsearch


def patches(count: int, size: int) -> Tensor:
    """Grey patches [count, size, size] of the photographs at drawn places, pixels in [0, 1]."""
    draw = torch.Generator().manual_seed(SEED)
    photographs = [
        torch.tensor(image).float().mean(2) / 255 for image in load_sample_images().images
    ]
    height, width = photographs[0].shape
    rows = torch.randint(height - size, (count,), generator=draw).tolist()
    columns = torch.randint(width - size, (count,), generator=draw).tolist()
    places = zip(rows, columns, strict=True)
    cut = [photographs[i % 2][r : r + size, c : c + size] for i, (r, c) in enumerate(places)]
    return torch.stack(cut)


def shapes(count: int, size: int = 12) -> tuple[Tensor, Tensor]:
    """Noisy images [count, 1, size, size] of five kinds of drawn outlines, and which kind each is.

    A disc, a ring, a square, a cross and a bar, at a drawn place and scale.
    """
    draw = torch.Generator().manual_seed(SEED)
    kind = torch.randint(5, (count,), generator=draw)
    centre = (torch.rand(2, count, 1, 1, generator=draw) - 0.5) * 0.8
    scale = 0.35 + 0.35 * torch.rand(count, 1, 1, generator=draw)
    axis = torch.linspace(-1, 1, size)
    y, x = ((axis[:, None] - centre[0]) / scale, (axis[None, :] - centre[1]) / scale)
    far, longest = (x**2 + y**2).sqrt().expand(count, size, size), torch.maximum(x.abs(), y.abs())
    drawn = torch.stack(
        [
            far < 1,
            (far < 1.1) & (far > 0.5),
            longest < 0.85,
            (longest < 1.1) & (torch.minimum(x.abs(), y.abs()) < 0.35),
            (y.abs() < 0.4).expand_as(longest) & (longest < 1.1),
        ]
    )
    images = drawn[kind, torch.arange(count)].float()
    images = images + 0.3 * torch.randn(images.shape, generator=draw)
    return images[:, None], kind


def convolutions(*widths: int, norm: bool, stride: int = 2) -> list[nn.Module]:
    """3 x 3 convolutions of these widths, with BatchNorm or without."""
    layers: list[nn.Module] = []
    for first, second in pairwise(widths):
        layers.append(nn.Conv2d(first, second, 3, stride=stride, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(second), nn.ReLU()] if norm else [nn.ReLU()]
    return layers


def shapes_batchnorm() -> lrsearch.Task:
    """Five kinds of shapes: a CNN of two convolutions with BatchNorm; batch 32."""
    train, validation = halves(*shapes(1536), 1024)
    return lrsearch.Task(
        model=lambda: nn.Sequential(
            *convolutions(1, 12, 24, norm=True), nn.Flatten(), nn.Linear(24 * 9, 5)
        ),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=32,
    )


def shapes_deep() -> lrsearch.Task:
    """The same shapes: a CNN of four convolutions with BatchNorm, two of them strided; batch 16."""
    train, validation = halves(*shapes(1536), 1024)
    return lrsearch.Task(
        model=lambda: nn.Sequential(
            *convolutions(1, 8, norm=True, stride=1),
            *convolutions(8, 16, norm=True),
            *convolutions(16, 16, norm=True, stride=1),
            *convolutions(16, 32, norm=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 5),
        ),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=16,
    )


def shapes_plain() -> lrsearch.Task:
    """The same shapes: a CNN of three convolutions without normalisation; batch 64."""
    train, validation = halves(*shapes(1536), 1024)
    return lrsearch.Task(
        model=lambda: nn.Sequential(
            *convolutions(1, 12, 24, 32, norm=False), nn.Flatten(), mlp(32 * 4, 32, 5)
        ),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=64,
    )


def photograph() -> lrsearch.Task:
    """Which photograph a patch of 8 x 8 is from, each without its mean: a wide MLP; batch 64."""
    images = patches(3072, 8).flatten(1)
    images = images - images.mean(1, keepdim=True)
    train, validation = halves(images / images.std(), torch.arange(3072) % 2, 2048)
    return lrsearch.Task(
        model=lambda: mlp(64, 128, 128, 2),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=64,
    )


def patch_autoencoder() -> lrsearch.Task:
    """Patches of 8 x 8 through 6 numbers and back: an autoencoder, MSE; batch 128."""
    images = patches(4096, 8).flatten(1)
    train, validation = halves(images, images, 3584)
    return lrsearch.Task(
        model=lambda: mlp(64, 64, 6, 64, 64),
        train=train,
        validation=validation,
        loss=F.mse_loss,
        batch_size=128,
    )
