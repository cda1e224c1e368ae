"""Tasks of gpu.py that are too large for a CPU."""

from itertools import pairwise

import torch
from torch import nn
from zoo import CLASSES, Block, Split, classification

import lrsearch


def images(samples: int, *, seed: int) -> Split:
    """Random images [N, 3, 32, 32] and classes [N]: only the time counts."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 3, 32, 32, generator=generator)
    return inputs, torch.randint(CLASSES, (samples,), generator=generator)


def resnet18() -> lrsearch.Task:
    """ResNet-18 for CIFAR's shape, 11 million parameters, with a convolution in every shortcut."""

    def model() -> nn.Module:
        widths = (64, 64, 128, 256, 512)
        stages = [
            block
            for before, width in pairwise(widths)
            for block in (Block(before, width, 1 if width == 64 else 2), Block(width, width, 1))
        ]
        return nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            *stages,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(512, CLASSES),
        )

    return classification(model, (images(4096, seed=1), images(1024, seed=2)), batch_size=128)
