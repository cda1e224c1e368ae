"""When a trial has diverged."""

import math

#: Training whose mean loss between two looks exceeds the first batch's loss by this multiple has
#: diverged.
DIVERGENCE_MULTIPLE = 10.0

#: Why a trial ended whose very first loss was NaN or infinite.
NOT_FINITE_AT_START = (
    "the loss of the first batch is not finite, before any step: the data or the model, not the "
    "learning rate"
)


def divergence_limit(start_loss: float) -> float:
    """The mean training loss above which a run has diverged; works for losses below 0 as well."""
    return above(start_loss, DIVERGENCE_MULTIPLE)


def above(start_loss: float, multiple: float) -> float:
    """`multiple` of a loss; as far above it where it is below 0, and out of reach where it is 0."""
    return start_loss + (multiple - 1) * (abs(start_loss) or math.inf)
