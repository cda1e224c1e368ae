"""Whether a learning rate lies where a search should not end: at its range's edge, or near a cliff.

Learning rates are in torch's units, for the momentum and batch size of the recipe that is judged.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lrsearch.catalog.domains import Range
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.plain_data import Fields
from lrsearch.range_test.analysis import RangeTest
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.sampling_units import equivalence
from lrsearch.space.search_space import SearchSpace, samples_of_step

#: Nearer than this is near, in decades: about a factor of 2.
NEAR = 1 / 3
#: A suggested range is so many decades wider.
WIDER = 1.0
#: In a range that is sampled on a linear scale the edge is near in this share of its width as well.
LINEAR_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class RangeEdge:
    """The end of the searched range that is near, and a range that goes on beyond it."""

    #: low | high
    side: str
    edge: float
    #: As a study file has it under `space.optimizers`, where the optimizer's other fields stay.
    line: str


@dataclass(frozen=True, kw_only=True)
class StabilityEdge:
    """Where training begins to diverge."""

    edge: float
    #: Trials that diverged from there on; 0 if the range test alone says so.
    diverged: int


def scale_of(optimizer: Fields, samples: int | None, space: SearchSpace) -> float:
    """What makes learning rates comparable between recipes of one optimizer, as a multiple of lr.

    Momentum and `samples`, those of an optimizer step, matter where the space samples a
    momentum-equivalent lr; 1 elsewhere. `optimizer` is as in a recipe.
    """
    name = str(optimizer["name"])
    lr = searched_lr(name, space)
    if lr is None or lr.unit != "momentum_equivalent":
        return 1.0
    default = optimizer_info(name, "optimizer").default("momentum")
    return equivalence(optimizer.get("momentum", default) or 0.0, samples)


def recipe_scale(recipe: Recipe, space: SearchSpace) -> float:
    """The same of a whole recipe."""
    sizes = {"params": recipe.params, "batch_size": recipe.batch_size}
    samples = samples_of_step({**sizes, "accumulate": recipe.accumulate}, None)
    return scale_of(recipe.optimizer, samples, space)


def searched_lr(optimizer: str, space: SearchSpace) -> Range | None:
    """The range of its lr; None where it has none."""
    domain = space.optimizers.get(optimizer, {}).get("lr")
    return domain if isinstance(domain, Range) else None


def range_edge(recipe: Recipe, space: SearchSpace) -> RangeEdge | None:
    """The nearer end of the range that lr was searched in, if that is near or passed."""
    name, lr = recipe.optimizer_name, recipe.lr
    domain = searched_lr(name, space)
    if domain is None:
        return None
    scale = recipe_scale(recipe, space) if domain.in_unit else 1.0
    low, high = domain.low / scale, domain.high / scale
    margins = {"high": math.log10(high / lr), "low": math.log10(lr / low)}
    side = min(margins, key=lambda side: margins[side])
    edge = low if side == "low" else high
    if margins[side] >= NEAR:
        return None
    if not domain.log and abs(edge - lr) > LINEAR_SHARE * (high - low) and low < lr < high:
        return None
    factor = 10**WIDER
    # The end that stays is the user's own, to the digit: else trials at it would be left behind.
    wider = {
        "low": _round(low) if domain.in_unit else low,
        "high": _round(high) if domain.in_unit else high,
        side: _round(min(low, lr) / factor if side == "low" else max(high, lr) * factor),
    }
    return RangeEdge(side=side, edge=edge, line=_line(name, **wider, log=domain.log))


def _round(end: float) -> float:
    return float(f"{end:.2g}")


def _line(name: str, low: float, high: float, *, log: bool) -> str:
    fields = f"low: {low:.12g}, high: {high:.12g}" + (", log: true" if log else "")
    return f"{name}: {{lr: {{{fields}}}}}"


def stability_edge(
    recipe: Recipe,
    space: SearchSpace,
    trials: Sequence[tuple[Recipe, bool]],
    tested: RangeTest | None = None,
) -> StabilityEdge | None:
    """Where recipes of this one's optimizer begin to diverge, if its lr is near that or above.

    The arguments are those of `where_unstable`.
    """
    found = where_unstable(recipe, space, trials, tested)
    if found is None or math.log10(found.edge / recipe.lr) >= NEAR:
        return None
    return found


def where_unstable(
    recipe: Recipe,
    space: SearchSpace,
    trials: Sequence[tuple[Recipe, bool]],
    tested: RangeTest | None = None,
) -> StabilityEdge | None:
    """Where recipes of this one's optimizer begin to diverge, at its momentum and batch size.

    `trials` are the study's, each with whether it diverged. The edge of `tested`, the optimizer's
    range test, counts where no trial says more: none diverged, and none trained above it.
    """
    scale = recipe_scale(recipe, space)
    mine = [
        (other.lr * recipe_scale(other, space) / scale, diverged)
        for other, diverged in trials
        if other.optimizer_name == recipe.optimizer_name
    ]
    edge = divergence_edge(mine)
    if edge is None:
        edge = _tested_edge(tested, space, scale)
        if edge is None or any(other > edge for other, _ in mine):
            return None
    return StabilityEdge(edge=edge, diverged=sum(bad and other >= edge for other, bad in mine))


def divergence_edge(trials: Iterable[tuple[float, bool]]) -> float | None:
    """The lr that best parts trials that diverged, at it and above, from those that trained.

    That is the lowest that diverged, unless more have trained above it than diverged: then those
    had another reason, and the edge is higher. None if no lr parts them at all.
    """
    found = sorted(trials)
    diverged = sum(bad for _, bad in found)
    best, edge = diverged, None  # wrong if nothing were beyond an edge: all that diverged
    wrong = len(found) - diverged  # wrong if all were: those that trained
    previous = -math.inf
    for lr, bad in found:
        if lr > previous and wrong < best:
            best, edge = wrong, lr
        wrong += 1 if bad else -1
        previous = lr
    return edge


def _tested_edge(tested: RangeTest | None, space: SearchSpace, scale: float) -> float | None:
    """The edge that a range test read, at the momentum and batch size of `scale`."""
    if tested is None or tested.edge is None:
        return None
    own = scale_of(tested.optimizer, tested.batch_size, space)
    return tested.edge.median * own / scale
