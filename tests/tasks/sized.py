"""The tiny regression with batch size and dropout as parameters; a batch of 64 asks for more memory
than there is."""

import torch
from tiny import loss, mae, make_tensors
from torch import nn

import lrsearch

MOST = 32


class Greedy(nn.Module):
    """Lets activations of 2**50 bytes a sample be allocated when a batch is large."""

    def forward(self, x):
        if len(x) > MOST and self.training:
            torch.empty(len(x), 2**50, dtype=torch.uint8)
        return x


def task(batch_size=16, dropout=0.1):
    return lrsearch.Task(
        model=lambda: nn.Sequential(
            Greedy(), nn.Linear(4, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
        ),
        train=make_tensors(96, seed=0),
        validation=make_tensors(48, seed=1),
        loss=loss,
        metrics={"mae": mae},
        batch_size=batch_size,
    )
