"""The weights of a script's model, where `run.build` was given it, as a state dict in a file."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

from lrsearch.own_loop.parameters import Parts
from lrsearch.own_loop.role import Role
from lrsearch.private_files import private
from lrsearch.training.kept_weights import copies

#: Said once where no weights can be kept.
NO_MODEL = (
    "no weights are kept for --save: what run.build was given is not one whole model; give it the "
    "module itself, run.build(model, ...), or let the script save its weights into run.folder"
)


def known_model(roles: Sequence[Role]) -> nn.Module | None:
    """The one model that the script trains, without what wraps it; None if it is not known.

    Of several optimizers each has a model of its own: none is the one. FSDP's is in parts.
    """
    if len(roles) != 1:
        return None
    model = roles[0].model
    if isinstance(model, Parts):
        roots = list(model.children())
        if len(roots) != 1 or model.has_loose:
            return None
        model = roots[0]
    while (inner := _inside(model)) is not None:
        model = inner
    is_whole = all(type(p).__name__ != "DTensor" for p in model.parameters())
    return model if is_whole else None


def _inside(model: nn.Module) -> nn.Module | None:
    """What `torch.compile` and DistributedDataParallel wrap."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        wrapped: nn.Module = model.module
        return wrapped
    original = getattr(model, "_orig_mod", None)
    return original if isinstance(original, nn.Module) else None


def write_model(roles: Sequence[Role], path: Path, *, averaged: bool) -> int:
    """Write the model's weights, or their average; the file's bytes, 0 where no model is known."""
    model = known_model(roles)
    if model is None:
        return 0
    average = roles[0].average if averaged else None
    with (
        nullcontext() if average is None else average.in_place(),
        open(path, "wb", opener=private) as file,
    ):
        torch.save(copies(model), file)
    return path.stat().st_size
