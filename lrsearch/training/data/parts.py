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
        if samples not in data.parts:
            data.parts[samples] = _part_of_tensors(data, samples)
        return data.parts[samples]
    if isinstance(data, DatasetData):
        return data.part(places(whole, samples).tolist())
    assert isinstance(data, LoaderData)
    batches = data.validation_batches
    return data.part(places(batches, -(-samples * batches // whole)).tolist())


def _part_of_tensors(data: TensorData, samples: int) -> TensorData:
    targets = data.leaves[-1]
    one_each = targets.numel() == data.length and not targets.is_complex()
    index = places(data.length, samples, targets.reshape(-1).cpu() if one_each else None)
    return TensorData(data.pick(index.to(data.device)), data.batch_size, data.device)


def places(
    length: int, samples: int, targets: Tensor | None = None, *, seed: int = VALIDATION_SEED
) -> Tensor:
    """Indices [samples] of a part of `length` samples, rising.

    Samples are shuffled, sorted by `targets` [length] if they are given, and taken at equal
    distances: then each class has its share, to one sample. That is systematic sampling with
    proportional allocation (Cochran, Sampling Techniques, 1977, sections 5.5 and 8.1).
    """
    order = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
    if targets is not None:
        order = order[targets[order].argsort(stable=True)]
    at = (torch.arange(samples) * 2 + 1) * length // (2 * samples)
    return order[at].sort().values
