"""How many optimizer steps linear warm-up takes, given as a fraction of the run or in steps."""

from lrsearch.errors import SpecError


def warmup_length(total_steps: int, warmup: float, warmup_steps: int | None = None) -> int:
    """Optimizer steps of a warm-up that is a fraction of `total_steps`, or `warmup_steps` long.

    A fraction leaves one step at least. Raises SpecError for `warmup_steps` that leave none.
    """
    if warmup_steps is None:
        return min(round(warmup * total_steps), total_steps - 1)
    if warmup_steps >= total_steps:
        raise SpecError(
            f"warmup_steps = {warmup_steps}, but the run has {total_steps} optimizer steps; give "
            f"fewer, or train longer"
        )
    return warmup_steps
