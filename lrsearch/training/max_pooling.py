"""Max pooling of images on a processor, with torch's values and indices, in less time.

torch's kernel for contiguous images compares one number at a time, which is a third of a small
CNN's training step and more than half of its validation. Its kernel for channels_last compares a
vector of channels at a time, and `torch.maximum` a vector of neighbours. A maximum is one of the
numbers compared, so nothing is rounded. Milliseconds for a window of 2 x 2 over images
[32, 16, 28, 28] in float32, on one core of a Xeon: 1.8 by torch, 0.56 by channels with indices, and
0.17 by maxima of neighbours.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, reduce
from operator import le
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

#: Fewer channels fill no vector: six take 0.7 of the time of torch by channels, eight 0.3.
LEAST_CHANNELS = 8
#: Smaller images [N, C, H, W] take torch less time than further calls do, about 15 us.
LEAST_NUMBERS = 8192
#: One length for both dimensions, or one for each, as torch takes them.
Lengths = int | Sequence[int]
Pair = tuple[int, int]


def max_pool_by_channels(images: Tensor, *window: Any) -> tuple[Tensor, Tensor]:
    """The values and indices of `aten.max_pool2d_with_indices`, by channels where that is faster.

    `window`: its arguments beside the images.
    """
    pool = torch._C._nn.max_pool2d_with_indices
    if not (_is_slow(images) and _has_channels(images)):
        return pool(images, *window)
    values, indices = pool(images.contiguous(memory_format=torch.channels_last), *window)
    return values.contiguous(), indices.contiguous()


def _is_slow(images: Tensor) -> bool:
    """Whether torch compares these one at a time, and they are many."""
    on_cpu = images.device.type == "cpu" and images.layout is torch.strided
    many = images.ndim in {3, 4} and images.numel() >= LEAST_NUMBERS
    return on_cpu and many and images.is_floating_point() and images.is_contiguous()


def _has_channels(images: Tensor) -> bool:
    return images.ndim == 4 and images.shape[1] >= LEAST_CHANNELS


def _max_pool(pool: Callable[..., Tensor], input: Tensor, *window: Any, **named: Any) -> Tensor:
    """What one of torch's functions for max pooling gives for images and a window."""
    if type(input) is not Tensor or not _is_slow(input) or _is_differentiated(input):
        return pool(input, *window, **named)
    plain = _plain_window(*window, **named)
    if plain is not None and all(map(le, plain[0], input.shape[-2:])):
        return _window_maxima(input, *plain)
    if _has_channels(input):
        channels_last = input.contiguous(memory_format=torch.channels_last)
        return pool(channels_last, *window, **named).contiguous()
    return pool(input, *window, **named)


def _is_differentiated(values: Tensor) -> bool:
    """Where numbers of a window are equal, maxima have other gradients than torch's pooling."""
    return torch.is_grad_enabled() or unpack_dual(values).tangent is not None  # type: ignore[no-untyped-call]


def _plain_window(
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    dilation: Lengths = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Pair, Pair] | None:
    """Its lengths and steps in both dimensions, where it reaches nothing but the image."""
    del return_indices  # torch calls another function for these
    kernel = _pair(kernel_size)
    steps = kernel if stride in (None, (), []) else _pair(stride)
    if kernel is None or steps is None or ceil_mode or min(kernel + steps) < 1:
        return None
    within = _pair(padding) == (0, 0) and _pair(dilation) == (1, 1)
    return (kernel, steps) if within else None


def _pair(lengths: Lengths) -> Pair | None:
    both = (lengths, lengths) if isinstance(lengths, int) else tuple(lengths)
    return both if len(both) == 2 and all(isinstance(n, int) for n in both) else None


def _window_maxima(images: Tensor, lengths: Pair, steps: Pair) -> Tensor:
    """The largest number of each window: of its rows, then of its columns."""
    for dimension, length, step in zip((-2, -1), lengths, steps, strict=True):
        windows = images.unfold(dimension, length, step)
        images = reduce(torch.maximum, windows.unbind(-1))
    return images


class _FasterMaxPooling(TorchFunctionMode):
    """A context in which `F.max_pool2d` and `torch.max_pool2d` take less time."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func is F.max_pool2d or func is torch.max_pool2d:
            return _max_pool(func, *args, **named)
        return func(*args, **named)


def faster_max_pooling(model: nn.Module) -> AbstractContextManager[object]:
    """The context for forward passes of a model in which nothing is differentiated.

    It costs 1 us for each function of torch that is called, so a model without pooling gets none,
    nor does a compiled one, whose program would be made anew.
    """
    if any(map(_is_compiled, model.modules())) or not pools_images(model):
        return nullcontext()
    return _FasterMaxPooling()


def pools_images(model: nn.Module) -> bool:
    """Whether the forward of one of its modules names max pooling of images."""
    return any(_names_pooling(type(module).forward) for module in model.modules())


def _is_compiled(module: nn.Module) -> bool:
    return module._compiled_call_impl is not None or hasattr(module, "_orig_mod")


@lru_cache(maxsize=256)
def _names_pooling(forward: Callable[..., Any]) -> bool:
    code = getattr(forward, "__code__", None)
    return code is not None and "max_pool2d" in code.co_names
