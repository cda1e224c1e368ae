"""A task that trains; those beside it change one thing each, which `task` then has wrong."""

import torch
from torch import nn
from torch.nn import functional as F

import lrsearch

x = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
y = x[:, :3].argmax(1)


def make_model():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def make_task(**changes):
    fields = {
        "model": make_model,
        "train": (x[:64], y[:64]),
        "validation": (x[64:], y[64:]),
        "loss": F.cross_entropy,
        "batch_size": 16,
    }
    return lrsearch.Task(**{**fields, **changes})


def pairs(inputs, targets):
    """As training and validation data."""
    return {
        "train": (inputs[:64], targets[:64]),
        "validation": (inputs[64:], targets[64:]),
    }


task = make_task
