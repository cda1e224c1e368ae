"""Rows that a broken host cannot read: one whose environment has BROKEN_HOST. With `workers` there
it breaks in the workers of `lrsearch run` alone. SLOW is how many seconds a row takes."""

import os
import time

import torch
from torch import nn

import lrsearch


class Rows(torch.utils.data.Dataset):
    def __init__(self, inputs, targets):
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, i):
        broken = os.environ.get("BROKEN_HOST")
        if broken and (broken != "workers" or "LRSEARCH_PARENT" in os.environ):
            raise FileNotFoundError(f"images/{i:05}.png")
        time.sleep(float(os.environ.get("SLOW", "0")))
        return self.inputs[i], self.targets[i]


def task():
    inputs = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
    targets = inputs[:, :3].argmax(1)
    return lrsearch.Task(
        model=lambda: nn.Linear(6, 3),
        train=Rows(inputs[:80], targets[:80]),
        validation=Rows(inputs[80:], targets[80:]),
        loss=nn.functional.cross_entropy,
        batch_size=16,
    )
