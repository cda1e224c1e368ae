"""The task of benchmarks/chaos.py, whose batches come from the process that trains: to start one
for each pass over the data takes most of the time of so small a training."""

from dataclasses import replace

import chaos_task
from torch.utils.data import DataLoader, TensorDataset


def task():
    train = TensorDataset(*chaos_task.make_tensors(chaos_task.SAMPLES, seed=0))
    return replace(
        chaos_task.task(), train=lambda: DataLoader(train, chaos_task.BATCH, shuffle=True)
    )
