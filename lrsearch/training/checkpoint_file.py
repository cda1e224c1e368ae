"""Files of torch.save that somebody may have made to do harm, as plain values and tensors."""

import io
import zipfile
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.utils._pytree import PyTree, tree_leaves

#: Of a file that `torch.save` writes: a zip archive.
ZIP = b"PK\x03\x04"


def load_plain(data: bytes) -> Mapping[str, PyTree]:
    """What `torch.save` wrote of a mapping, on the CPU. It runs no code, whatever the bytes are.

    It takes no more memory than a few times the bytes: `torch.save` compresses nothing, and no
    tensor is larger than its file. Raises ValueError for another file, and whatever torch does.
    """
    _check_archive(data)
    # Else a sparse tensor may name places outside its memory.
    with torch.sparse.check_sparse_tensor_invariants():  # type: ignore[no-untyped-call]
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict):
        raise ValueError(f"it holds {type(loaded).__name__}, but a mapping is needed")
    for leaf in tree_leaves(loaded):
        if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
            _check_size(leaf, len(data))
    return loaded


def _check_archive(data: bytes) -> None:
    if not data.startswith(ZIP):
        raise ValueError("it is no file of torch.save")
    entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed, which torch.save never does")
    # Entries that share their bytes, or claim more than there are.
    claimed = sum(max(entry.file_size, entry.compress_size) for entry in entries)
    if claimed > len(data):
        raise ValueError(f"it claims {claimed} bytes and has {len(data)}")


def _check_size(tensor: Tensor, most: int) -> None:
    """One whose elements share memory may claim any shape, and is made whole by the next copy."""
    claimed = tensor.numel() * tensor.element_size()
    if claimed > most:
        raise ValueError(f"a tensor of {claimed} bytes is in a file of {most}")


def require_alike(name: str, mine: PyTree, saved: PyTree) -> None:
    """Raises ValueError unless a saved state has the fields and kinds of a fresh one.

    Schedulers and scalers take whatever they are given as their attributes, methods among them.
    """
    if isinstance(mine, dict):
        if not isinstance(saved, dict) or saved.keys() != mine.keys():
            raise ValueError(f"{name} has other fields")
        for key, value in mine.items():
            require_alike(f"{name}.{key}", value, saved[key])
    elif isinstance(mine, list | tuple):
        if not isinstance(saved, list | tuple) or len(saved) != len(mine):
            raise ValueError(f"{name} is no list of {len(mine)}")
        for i, (value, other) in enumerate(zip(mine, saved, strict=True)):
            require_alike(f"{name}[{i}]", value, other)
    elif _kind(mine) is not _kind(saved) and None not in (mine, saved):
        raise ValueError(f"{name} is of another kind: {type(saved).__name__}")


def _kind(value: PyTree) -> type:
    """Numbers of all types are of one kind: torch counts in ints, floats and tensors."""
    return float if isinstance(value, int | float | Tensor) else type(value)
