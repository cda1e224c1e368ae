"""Values of a script as `torch.load(weights_only=True)` reads them, which runs no code of a file.

Tensors, numbers, text, lists and dicts stand for themselves; a tuple is a tag and what it means.
"""

import hashlib
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import PyTree

#: Accepted in what is kept, for messages.
ACCEPTED = "tensors, numpy arrays, numbers, text, None, and lists, tuples, sets and dicts of these"
_PLAIN = (bool, int, float, str, type(None))
#: What a defaultdict may make by itself.
_FACTORIES: dict[str, Callable[[], PyTree]] = {
    kind.__name__: kind for kind in (int, float, list, dict, set, str)
}


class NotPlainError(Exception):
    """A value that no state can hold; says where it stands and of which type it is."""


def encode(value: PyTree, where: str = "") -> PyTree:
    """The value for `torch.save`. `where`: its place, as `['best'][0]`, for the message.

    Raises NotPlainError for what is none of `ACCEPTED`.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Tensor):
        return _encode_tensor(value)
    if kind is list:
        return [encode(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if kind in (dict, OrderedDict, Counter, defaultdict):
        return _encode_dict(value, where)
    if kind in (tuple, set, frozenset, torch.Size):
        return (kind.__name__, encode(list(value), where))
    if kind is deque:
        return ("deque", encode(list(value), where), value.maxlen)
    if kind in (bytes, bytearray):
        return (kind.__name__, _uint8(value))
    if kind is complex:
        return ("complex", value.real, value.imag)
    if kind is torch.dtype or kind is torch.device:
        return (kind.__name__, str(value).removeprefix("torch."))
    if isinstance(value, np.generic) or kind is np.ndarray:
        return _encode_numpy(value, where)
    raise NotPlainError(f"{where or 'it'} is a {kind.__module__}.{kind.__qualname__}")


def _encode_tensor(value: Tensor) -> PyTree:
    plain = value.detach()
    if plain.layout is torch.strided and _is_view(plain):
        plain = plain.clone()  # what is saved of a view is all that it is a view of
    trained = value.requires_grad and value.is_leaf
    if value.device.type == "cpu" and not trained:
        return plain.as_subclass(Tensor)
    return ("tensor", plain.as_subclass(Tensor).cpu(), value.device.type, trained)


def _is_view(value: Tensor) -> bool:
    return bool(value.untyped_storage().nbytes() != value.numel() * value.element_size())


def _encode_dict(value: dict[PyTree, PyTree], where: str) -> PyTree:
    items = {key: encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    if type(value) is dict and all(type(key) in _PLAIN for key in items):
        return items
    pairs = [[encode(key, where), item] for key, item in items.items()]
    extra: PyTree = None
    if isinstance(value, OrderedDict):
        extra = encode(vars(value), where)  # `_metadata` of a module's state: versions
    if isinstance(value, defaultdict):
        extra = getattr(value.default_factory, "__name__", None)
        if value.default_factory is not None and _FACTORIES.get(extra) is not value.default_factory:
            raise NotPlainError(f"{where or 'it'} is a defaultdict that calls a function")
    return (type(value).__name__, pairs, extra)


def _encode_numpy(value: PyTree, where: str) -> PyTree:
    array = np.asarray(value)
    if array.dtype.hasobject or array.dtype.fields:
        raise NotPlainError(f"{where or 'it'} is a numpy array of {array.dtype}")
    kind = "ndarray" if isinstance(value, np.ndarray) else "scalar"
    return (kind, _uint8(array.tobytes()), array.dtype.str, list(array.shape))


def _uint8(data: bytes | bytearray) -> Tensor:
    return torch.from_numpy(np.array(bytearray(data), dtype=np.uint8))


def decode(saved: PyTree, device: torch.device) -> PyTree:
    """What `encode` was given, as new objects; tensors that were on an accelerator on `device`."""
    if isinstance(saved, list):
        return [decode(item, device) for item in saved]
    if isinstance(saved, dict):
        return {key: decode(item, device) for key, item in saved.items()}
    if not isinstance(saved, tuple):
        return saved
    tag, content, *rest = saved
    if tag == "tensor":
        place, requires_grad = rest
        tensor: Tensor = content if place == "cpu" else content.to(device)
        return tensor.requires_grad_(requires_grad)
    if tag in ("ndarray", "scalar"):
        return _decode_numpy(tag, content, *rest)
    if tag == "complex":
        return complex(content, *rest)
    if tag == "dtype" and isinstance(dtype := getattr(torch, content), torch.dtype):
        return dtype
    return _MAKE[tag](decode(content, device), *(decode(item, device) for item in rest))


def _decode_numpy(tag: str, data: Tensor, dtype: str, shape: list[int]) -> PyTree:
    array = np.frombuffer(data.numpy().tobytes(), dtype=np.dtype(dtype)).reshape(shape)
    return array.copy() if tag == "ndarray" else array[()]


def _ordered(pairs: list[list[PyTree]], attributes: dict[str, PyTree]) -> PyTree:
    made = OrderedDict(cast(Iterable[tuple[PyTree, PyTree]], pairs))
    vars(made).update(attributes)
    return made


_MAKE: dict[str, Callable[..., PyTree]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "Size": torch.Size,
    "deque": deque,
    "bytes": lambda data: data.numpy().tobytes(),
    "bytearray": lambda data: bytearray(data.numpy().tobytes()),
    "device": torch.device,
    "dict": lambda pairs, _: dict(pairs),
    "OrderedDict": _ordered,
    "Counter": lambda pairs, _: Counter(dict(pairs)),
    "defaultdict": lambda pairs, kind: defaultdict(_FACTORIES.get(kind), pairs),
}


@torch.no_grad()
def refill(mine: PyTree, saved: PyTree) -> bool:
    """Give an object that can be changed the content of another; whether it can be.

    Raises ValueError for a tensor or an array of another shape.
    """
    if type(mine) is not type(saved) and not (
        isinstance(mine, Tensor) and isinstance(saved, Tensor)
    ):
        return False
    if isinstance(mine, Tensor | np.ndarray):
        if tuple(mine.shape) != tuple(saved.shape) or mine.dtype != saved.dtype:
            raise ValueError(f"{_shape(saved)}, the script {_shape(mine)}")
        mine[...] = saved
    elif isinstance(mine, list | bytearray):
        mine[:] = saved
    elif isinstance(mine, dict | set | deque):
        mine.clear()
        (mine.extend if isinstance(mine, deque) else mine.update)(saved)
    else:
        return False
    return True


def _shape(value: PyTree) -> str:
    return f"{list(value.shape)} {value.dtype}"


def digest(encoded: PyTree) -> str:
    """SHA-256 of what `encode` gave: equal for equal bits, wherever they lie."""
    total = hashlib.sha256()
    _feed(total.update, encoded)
    return total.hexdigest()


def _feed(update: Callable[[bytes], None], value: PyTree) -> None:
    if isinstance(value, Tensor):
        update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        update(_bytes_of(value))
    elif isinstance(value, float):
        update(b"float" + struct.pack("<d", value))
    elif isinstance(value, tuple) and value[0] == "tensor":
        _feed(update, value[1])  # on whatever device
    elif isinstance(value, tuple) and value[0] in ("set", "frozenset"):
        update(f"set {sorted(map(repr, value[1]))}".encode())
    elif isinstance(value, list | tuple):
        update(f"{type(value).__name__} {len(value)}".encode())
        for item in value:
            _feed(update, item)
    elif isinstance(value, dict):
        update(f"dict {len(value)}".encode())
        for key, item in value.items():
            update(repr(key).encode())
            _feed(update, item)
    else:
        update(f"{type(value).__name__} {value!r}".encode())


def _bytes_of(value: Tensor) -> bytes:
    dense = value.detach() if value.layout is torch.strided else value.detach().to_dense()
    flat = dense.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
