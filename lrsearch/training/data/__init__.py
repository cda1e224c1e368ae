"""Data as users have them, read as batches: in which order, from which random numbers.

Tensors are kept on the device and indexed; datasets are collated; DataLoaders are read with their
own samplers and workers; streams go on from epoch to epoch. It may import
`randomness`, `failures` and `number_types` of `training`, `task` and below.
"""

from lrsearch.training.data.batches import Batch, samples_of, tensors_in, to_device, told_size
from lrsearch.training.data.make import end_workers, make_data, make_splits, make_test
from lrsearch.training.data.order import epoch_order, epoch_seed
from lrsearch.training.data.parts import part_of, validation_samples
from lrsearch.training.data.protocol import Data
from lrsearch.training.data.repeats import check_repeats
from lrsearch.training.data.tensors import VALIDATION_FACTOR, TensorData

__all__ = [
    "VALIDATION_FACTOR",
    "Batch",
    "Data",
    "TensorData",
    "check_repeats",
    "end_workers",
    "epoch_order",
    "epoch_seed",
    "make_data",
    "make_splits",
    "make_test",
    "part_of",
    "samples_of",
    "tensors_in",
    "to_device",
    "told_size",
    "validation_samples",
]
