"""In which order samples come, by seed and epoch.

The order of epoch e is `randperm(n, generator=Generator().manual_seed(seed * 1_000_003 + e))`,
the same for every trial of a study, so that their losses are paired.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils._pytree import PyTree
from torch.utils.data import DataLoader

from lrsearch.training.data.generators import generators_in, seed_generators
from lrsearch.training.randomness import Streams

#: Batches as a user's own DataLoader makes them.
Loader = DataLoader[PyTree]
#: What a map-style dataset is asked for: the indices of a batch, or one index.
Index = Any


def epoch_seed(seed: int, epoch: int) -> int:
    """What seeds an epoch's order."""
    return seed * 1_000_003 + epoch


def epoch_order(n: int, seed: int, epoch: int) -> torch.Tensor:
    """The permutation of n samples that all trials with this seed see in this epoch."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(epoch_seed(seed, epoch)))


def loader_order(loader: Loader, seed: int, most: int | None) -> Iterator[Index]:
    """The indices that the loader's samplers give in a pass, at most so many; all if None.

    The same numbers are drawn as by `iter(loader)` after `torch.manual_seed(seed)`.
    """
    samplers = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    streams = Streams()
    with streams.seeded(seed % 2**63):
        seed_order(loader, seed % 2**63)
        indices = iter(samplers)
        torch.empty((), dtype=torch.int64).random_(generator=loader.generator)  # a worker's seed
        if most is not None:
            return iter(list(islice(indices, most)))
        streams.keep()
    return _lazily(indices, streams)


def _lazily(indices: Iterator[Index], streams: Streams) -> Iterator[Index]:
    """Indices without an end, each drawn where the one before has left off."""
    while True:
        with streams.going_on():
            index = next(indices, None)
        if index is None:
            return
        yield index


def seed_order(loader: Loader, seed: int) -> None:
    """Seed the generators that decide the order of samples."""
    holders = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    own = [getattr(holder, "generator", None) for holder in holders]
    ids = {id(generator) for generator in own}
    others = generators_in(loader.sampler, loader.batch_sampler)
    seed_generators([one for one in others if id(one) not in ids], seed)
    for generator in own:
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)
