"""Schedule shapes that torch lacks, as factors of lr for `torch.optim.lr_scheduler.LambdaLR`.

torch has the two cosines, but with a floor that is one learning rate for all parameter groups.

Each is a function of the step, counted from 0 after warm-up, that is 1 at step 0. They depend on
nothing but `math`: the exported script holds their text.
"""

import math
from collections.abc import Callable


def wsd(step: int, *, steps: int, decay: float, shape: str) -> float:
    """Warm-up, stable, decay: 1, then down to 0 over the last `decay` share of the steps.

    Hu et al. 2024 (MiniCPM); Haegele et al. 2024 for the shape `1-sqrt`.
    """
    start = (1 - decay) * steps
    if step <= start:
        return 1.0
    done = min(1.0, (step - start) / (steps - start))
    if shape == "linear":
        return 1 - done
    if shape == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1 - math.sqrt(done)


def rex(step: int, *, steps: int, beta: float) -> float:
    """Reflected exponential (Chen et al. 2021): `beta` 0.5 is the paper's, 1 a straight line."""
    left = max(0.0, 1 - step / steps)
    return left / (beta + (1 - beta) * left)


def inverse_sqrt(step: int, *, steps: int, timescale: float) -> float:
    """Inverse square root (Vaswani et al. 2017; Zhai et al. 2022): it halves after 3 timescales.

    `timescale` is a fraction of the steps.
    """
    scale = timescale * steps
    return math.sqrt(scale / (scale + step))


def cosine(step: int, *, steps: int, eta_min: float) -> float:
    """Half a cosine (Loshchilov & Hutter 2017) from 1 down to `eta_min`, a factor of lr."""
    done = min(step, steps) / steps
    return eta_min + (1 - eta_min) * (1 + math.cos(math.pi * done)) / 2


def cosine_restarts(step: int, *, first: int, growth: int, eta_min: float) -> float:
    """Half cosines from 1 towards `eta_min`, the first of `first` steps, each `growth` x longer."""
    length = first
    while step >= length:
        step, length = step - length, length * growth
    return eta_min + (1 - eta_min) * (1 + math.cos(math.pi * step / length)) / 2


def own(step: int, *, steps: int, shape: Callable[[float], float]) -> float:
    """A user's function of progress: 0 at the first step after warm-up, 1 after the last."""
    return float(shape(min(1.0, step / steps)))
