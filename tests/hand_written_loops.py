"""A small model, its data, and what a recipe gives in a plain loop: for tests of adapters."""

import torch
from torch import nn
from torch.utils.data import TensorDataset


class Net(nn.Module):
    """A regression that learns; dropout draws random numbers in training."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)


def batches(count=32):
    """The same samples each time."""
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, x.sum(1, keepdim=True))


def lrs_of_recipe(recipe, steps_per_epoch):
    """The learning rate of each step, as torch's schedulers give it in a loop by hand."""
    total = recipe.total_steps(steps_per_epoch)
    optimizer, schedule = recipe.build(Net(), steps_per_epoch=steps_per_epoch)
    lrs = []
    for _ in range(total):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return lrs
