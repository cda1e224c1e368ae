"""A recipe with another horizon or batch size than it was searched with, and what is known of that.

Sources: lrsearch's study of longer horizons (nine tasks, AdamW and SGD; losses at the peak lr that
was best for an eighth of the horizon against the best lr of the horizon itself).
"""

from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe

#: How much worse the kept lr was at eight times the horizon, in percent of the loss.
LEAST_LOSS, MOST_LOSS = 0, 139


def changed(
    recipe: Recipe, *, epochs: int | None, batch_size: int | None, steps_per_epoch: int
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe over `epochs`, its lr kept, and sentences on what that may cost.

    `steps_per_epoch` counts optimizer steps. Raises SpecError for fewer than one epoch, and for
    another batch size.
    """
    if batch_size is not None and recipe.batch_size is None:
        raise SpecError(
            f"--batch-size {batch_size}: the recipe has no batch size of its own, as the task "
            f"brings its batches; leave the option out"
        )
    if batch_size is not None and batch_size != recipe.batch_size:
        raise SpecError(
            f"--batch-size {batch_size}: how the best lr of {recipe.optimizer_name} moves from "
            f"batch size {recipe.batch_size} has not been measured, so no lr can be given; search "
            f"with that batch size, or leave the option out"
        )
    if epochs is None or epochs == recipe.epochs:
        return recipe, ()
    if epochs < 1:
        raise SpecError(f"--epochs {epochs}: a whole number from 1 is needed")
    searched = recipe.total_steps(steps_per_epoch) / steps_per_epoch
    note = horizon_note(searched, epochs)
    return recipe.model_copy(update={"epochs": epochs, "steps": None}), (note,)


def horizon_note(searched: float, epochs: float) -> str:
    """What is known of an lr at another horizon than that it was searched with, both in epochs.

    Nothing was measured there: where `lrsearch transfer` has, its interval stands in place of this.
    """
    return (
        f"The schedule is stretched from {searched:g} to {epochs:g} epochs "
        f"({epochs / searched:.3g} times) and lr kept, but the best lr may move with the horizon "
        f"and was not measured at {epochs:g} epochs: at 8 times the kept lr was measured "
        f"{LEAST_LOSS} to {MOST_LOSS} % worse in loss than the best one"
    )
