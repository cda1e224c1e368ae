"""A task without a weight of two dimensions."""

import torch
from torch import nn
from torch.nn.functional import mse_loss

import lrsearch


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.scale


def task():
    x = torch.arange(192.0).reshape(64, 3)
    return lrsearch.Task(
        model=Scale, train=(x, 2 * x), validation=(-x, -2 * x), loss=mse_loss, batch_size=16
    )
