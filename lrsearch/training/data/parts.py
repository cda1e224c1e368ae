"""A fixed part of a validation set: the same samples for every trial of a study."""

import torch
from torch import Tensor

from lrsearch.training.data.datasets import DatasetData, LoaderData
from lrsearch.training.data.protocol import Data
from lrsearch.training.data.tensors import TensorData
from lrsearch.training.randomness import VALIDATION_SEED


def validation_samples(data: Data) -> int | None:
    """Samples of a validation; None where no part of them can be taken.

    So of data that can only be read from their beginning, and of a DataLoader whose batches have no
    size. Of a DataLoader the last batch is counted as a full one.
    """
    if isinstance(data, TensorData | DatasetData):
        return data.length
    if isinstance(data, LoaderData) and data.loader.batch_size is not None:
        return data.validation_batches * data.loader.batch_size
    return None


def part_of(data: Data, samples: int) -> Data:
    """So many samples of a validation set, drawn with a fixed seed; itself where it has no more.

    Of tensors with one number a sample as targets, each class has its share, and so has each
    stretch of a regression's targets. Of a DataLoader whole batches are taken, as many as hold the
    samples.
    """
    whole = validation_samples(data)
    if whole is None or samples >= whole:
        return data
    if isinstance(data, TensorData):
        return TensorData(data.pick(_places(data, samples)), data.batch_size, data.device)
    if isinstance(data, DatasetData):
        return data.part(_spread(_shuffled(whole), samples).tolist())
    assert isinstance(data, LoaderData)
    count = -(-samples * data.validation_batches // whole)
    return data.part(_spread(_shuffled(data.validation_batches), count).tolist())


def _places(data: TensorData, samples: int) -> Tensor:
    """Indices of the part of tensors, rising."""
    order, targets = _shuffled(data.length), data.leaves[-1]
    if targets.numel() == data.length and not targets.is_complex():
        values = targets.reshape(-1).cpu()[order]
        order = order[values.argsort(stable=True)]
    return _spread(order, samples).to(data.device)


def _shuffled(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(VALIDATION_SEED))


def _spread(order: Tensor, samples: int) -> Tensor:
    """So many entries at equal distances, rising.

    Of an order by class each class has its share, to one sample: proportional allocation (Cochran,
    Sampling Techniques, 1977, sections 5.6 and 8.2).
    """
    at = (torch.arange(samples) * 2 + 1) * len(order) // (2 * samples)
    return order[at].sort().values
