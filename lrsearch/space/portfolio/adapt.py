"""The recipes of a portfolio, moved into a study's space.

- Its optimizer is the entry's own, else the space's first relative of it; an entry without either
  is left out.
- Its schedule is the entry's own, else the space's nearest that decays.
- What the space fixes wins. Every other value is moved to the nearest on offer, but for the
  learning rate: an entry whose rate would move by more than half a decade is left out, since half
  a decade is how far apart the list's own rates are. Its neighbour in the list is then the nearest.
- A recipe that is there already is left out, and so is one that the space cannot give.
- A rate beyond the edge that a range test found is left out. Where the edge lies far from where it
  usually does, each recipe of the optimizer is followed by a copy whose rate is moved as far.
- Where nothing is left (fine-tuning, say, whose rates are decades lower), each optimizer of the
  space has a recipe at the middle of its range.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from lrsearch.catalog.domains import Range
from lrsearch.catalog.lookup import optimizer_info, schedule_info
from lrsearch.catalog.script import SCRIPT
from lrsearch.plain_data import Document, Fields
from lrsearch.space.portfolio.edges import Edge
from lrsearch.space.portfolio.entries import Entry
from lrsearch.space.portfolio.wishes import Wishes
from lrsearch.space.sampling_units import REFERENCE_MOMENTUM, equivalence, suggest
from lrsearch.space.search_space import SearchSpace, samples_of_step
from lrsearch.trial.rounding import EPSILON

#: Before any range test.
NO_EDGES: Mapping[str, Edge] = MappingProxyType({})
#: How far a learning rate may be moved, as a factor: half a decade.
REACH = math.sqrt(10.0) * (1 + EPSILON)
#: Optimizers that take the learning rate of another, in order, and whether they also take its
#: weight decay: those that decay weights as AdamW does. Adam's own papers give one rate for Adam,
#: Adamax and AdamW's predecessor, RAdam and NAdam change its first steps; Muon's is AdamW's (Liu et
#: al. 2025).
RELATIVES: Mapping[str, Mapping[str, bool]] = {
    "adamw": {"muon": True, "nadam": True, "radam": True, "adam": False, "adamax": False},
    "adam": {"adamw": False, "nadam": False, "radam": False, "adamax": False, "muon": False},
}
#: Schedules from the nearest to what falls to 0 in one curve to the farthest.
NEAREST = (
    *("one_cycle", "cosine", "linear", "polynomial", "wsd", "rex", "exponential", "multistep"),
    *("step", "cosine_restarts", "cyclic", "inverse_sqrt", "plateau", "constant"),
)
#: Before a schedule that takes the place of one which warms up by itself: AlgoPerf's (Dahl et al.
#: 2023).
WARMUP = 0.05


def portfolio_recipes(
    space: SearchSpace,
    entries: Sequence[Entry],
    batch_size: int | None = None,
    *,
    accumulate: int = 1,
    edges: Mapping[str, Edge] = NO_EDGES,
) -> list[Document]:
    """The recipes (optimizer, schedule, warmup, params) in the order of the entries.

    Each lies inside the space. `batch_size` is the task's own, of which an optimizer step takes
    `accumulate`. `edges`: by optimizers of the space.
    """

    def recipes(some: Iterable[Entry]) -> list[Document]:
        return _distinct(_moved(space, entry, batch_size, accumulate) for entry in some)

    def is_stable(recipe: Document) -> bool:
        edge = edges.get(str(recipe["optimizer"]["name"]))
        params = space.params_of({**recipe, "accumulate": accumulate}, batch_size)
        return edge is None or params is None or not _lr(recipe, params) > edge.highest

    shifted = [each for entry in entries for each in _with_shifted(space, entry, edges)]
    found = recipes(shifted) or (recipes(_middles(space)) if entries else [])
    return [recipe for recipe in found if is_stable(recipe)]


def _lr(recipe: Document, params: Fields) -> float:
    """The learning rate in the sampler's unit; torch's own where it is not sampled."""
    optimizer = recipe["optimizer"]
    return float(params.get(f"{optimizer['name']}.lr", optimizer["lr"]))


def _with_shifted(space: SearchSpace, entry: Entry, edges: Mapping[str, Edge]) -> Iterator[Entry]:
    yield entry
    edge = edges.get(_own_or_relative(space, entry.name) or "")
    if edge is not None and edge.shift != 1.0:
        lr = float(entry.optimizer["lr"]) * edge.shift
        source = f"{entry.source}, moved by a range test"
        yield replace(entry, optimizer={**entry.optimizer, "lr": lr}, source=source)


def _distinct(recipes: Iterable[Document | None]) -> list[Document]:
    found: list[Document] = []
    for recipe in recipes:
        if recipe is not None and recipe not in found:
            found.append(recipe)
    return found


def _middles(space: SearchSpace) -> Iterator[Entry]:
    """For each optimizer of the space one without a wish for its learning rate."""
    for name in space.optimizers:
        if name != SCRIPT:  # of which nobody knows anything
            momentum = optimizer_info(name, "portfolio").accumulates
            optimizer = {"name": name} | ({"momentum": REFERENCE_MOMENTUM} if momentum else {})
            schedule = {"name": _nearest(space, "cosine")}
            yield Entry(optimizer=optimizer, schedule=schedule, warmup=WARMUP, source="")


def _moved(
    space: SearchSpace, entry: Entry, batch_size: int | None, accumulate: int
) -> Document | None:
    """The entry in the space; None where it does not fit."""
    name = _own_or_relative(space, entry.name)
    if name is None:
        return None
    schedule = _nearest(space, str(entry.schedule["name"]))
    wanted = _wishes(entry, name, schedule)
    scale = _scale(space, entry, name, wanted, samples_of_batch=batch_size, accumulate=accumulate)
    rate = wanted.get(f"{name}.lr")
    wishes = Wishes({**wanted, f"{name}.lr": None if rate is None else rate * scale})
    recipe = space.suggest(wishes, lambda params: batch_size, accumulate=accumulate)
    if wishes.moved.get(f"{name}.lr", 1.0) > REACH:
        return None
    is_inside = space.params_of({**recipe, "accumulate": accumulate}, batch_size) is not None
    return recipe if is_inside else None


def _scale(
    space: SearchSpace,
    entry: Entry,
    name: str,
    wanted: Fields,
    *,
    samples_of_batch: int | None,
    accumulate: int,
) -> float:
    """What the sampler's learning rate is as a multiple of the entry's.

    So the rate is the entry's in torch's units, at the batch size that it is for, and with another
    momentum than the entry's the one that steps as far.
    """
    domain = space.optimizers[name]["lr"]
    if not isinstance(domain, Range) or domain.unit != "momentum_equivalent":
        return 1.0
    params = {k: suggest(Wishes(wanted), f"params.{k}", d) for k, d in space.params.items()}
    size = samples_of_step({"params": params, "accumulate": accumulate}, samples_of_batch)
    momentum = optimizer_info(entry.name, "portfolio").taken(entry.optimizer, "momentum")
    return equivalence(momentum or 0.0, entry.batch_size or size)


def _own_or_relative(space: SearchSpace, name: str) -> str | None:
    return next((n for n in (name, *RELATIVES.get(name, {})) if n in space.optimizers), None)


def _nearest(space: SearchSpace, schedule: str) -> str:
    known = (schedule, *NEAREST, *space.schedules)
    return next(name for name in known if name in space.schedules)


def _wishes(entry: Entry, name: str, schedule: str) -> Document:
    """The entry's values by the sampler's names; the classes' defaults where it has none."""
    optimizer = dict(entry.optimizer)
    if name != entry.name:
        decays_alike = RELATIVES[entry.name][name]
        kept = ("lr", "weight_decay") if decays_alike else ("lr",)
        optimizer = {key: optimizer[key] for key in kept if key in optimizer}
    info = optimizer_info(name, "portfolio")
    unknown = {"lr", *info.required}
    values = {
        **{key: info.default(key) for key in info.searchable() if key not in unknown},
        **optimizer,
    }
    own = schedule == entry.schedule["name"]
    shape = {**schedule_info(schedule, "portfolio").defaults, **(entry.schedule if own else {})}
    return {
        "optimizer": name,
        "schedule": schedule,
        "warmup": entry.warmup or (0.0 if own else WARMUP),
        **{f"{name}.{key}": value for key, value in values.items()},
        **{f"{schedule}.{key}": value for key, value in shape.items()},
        **{f"params.{key}": value for key, value in entry.params.items()},
    }
