"""Which optimizers of a study get an LR range test, over which lr, and what its windows mean.

`range_test: auto` runs it before a study unless it is dearer than 3 % of the budget.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.catalog.domains import Domain, Fixed, Range, first_value
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.script import SCRIPT
from lrsearch.confirmation.budget import range_test_is_beside, search_epochs
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.range_test.analysis import SEED_COUNTS, grid
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.groups import middle_groups
from lrsearch.space.sampling_units import REFERENCE_MOMENTUM, equivalence, parameter_name
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.study_spec import StudySpec
from lrsearch.user_input import is_number

#: Share of the budget's epochs that range tests may cost at most.
MOST_SHARE = 0.03
#: A ramp starts so far below the lowest lr of interest, where nothing is trained yet, and ends so
#: far above the highest, unless it diverges before.
BELOW, ABOVE = 100.0, 10.0


@dataclass(frozen=True, kw_only=True)
class RampPlan:
    """The range test of one optimizer: what its ramps train."""

    #: As in a recipe, without lr: what the space fixes, else textbook values.
    optimizer: Fields
    #: Rising, in torch's units; a step each.
    lrs: tuple[float, ...]

    @property
    def name(self) -> str:
        return str(self.optimizer["name"])

    def recipe(self, spec: StudySpec, seed: int) -> Recipe:
        """What the ramp of this seed trains: the study's way, at the lowest lr for all steps."""
        fields = {
            "optimizer": {**self.optimizer, "lr": self.lrs[0]},
            "schedule": {"name": "constant"},
            "params": {key: first_value(domain) for key, domain in spec.space.params.items()},
            **middle_groups(spec.space.groups),
        }
        study = spec.recipe(fields, batch_size=None).to_dict()
        ramp = {"epochs": None, "steps": len(self.lrs), "ema": None, "weights": "raw", "seed": seed}
        return Recipe.from_dict({**study, **ramp})


@dataclass(frozen=True, kw_only=True)
class RangePlan:
    """The range tests that a study begins with."""

    tests: tuple[RampPlan, ...]
    #: Ramps that an optimizer gets at most.
    seeds: int
    steps_per_epoch: int
    #: Why there are none; empty if there are some.
    skipped: str = ""

    def epochs_of(self, test: RampPlan) -> float:
        """What a test trains at most."""
        return self.seeds * len(test.lrs) / self.steps_per_epoch

    @property
    def epochs(self) -> float:
        return sum(self.epochs_of(test) for test in self.tests)


def ramp_plan(spec: StudySpec, name: str) -> RampPlan:
    """The range test of an optimizer of the space. Raises SpecError for another, and `script`."""
    if name not in spec.space.optimizers:
        raise SpecError(f"range test of {name!r}, which is no optimizer of the study")
    if name == SCRIPT:
        raise SpecError("a script's own optimizer has no range test; range_test: none says so")
    domains = spec.space.optimizers[name]
    info = optimizer_info(name, "optimizer")
    fixed: Document = {
        key: list(domain.value) if isinstance(domain.value, tuple) else domain.value
        for key, domain in domains.items()
        if isinstance(domain, Fixed) and key != "lr"
    }
    if "beta1" in fixed or "beta2" in fixed:
        fixed["betas"] = [fixed.pop(key, info.default(key)) for key in ("beta1", "beta2")]
    # The momentum at which momentum-equivalent lr is lr itself; the rest is torch's default.
    lr = domains["lr"]
    equivalent = isinstance(lr, Range) and lr.unit == "momentum_equivalent"
    momentum = {"momentum": REFERENCE_MOMENTUM} if equivalent else {}
    optimizer = {"name": name, **momentum, **fixed}
    if not info.taken(optimizer, "momentum"):
        optimizer.pop("nesterov", None)
    ends = [end for domain in (lr, info.ranges.get("lr")) for end in _ends(domain)]
    return RampPlan(optimizer=optimizer, lrs=grid(min(ends) / BELOW, max(ends) * ABOVE))


def _ends(domain: Domain | None) -> list[float]:
    """The lowest and highest lr of a domain, about in torch's units."""
    if domain is None:
        return []
    if isinstance(domain, Range):
        return [domain.low, domain.high]
    values = [domain.value] if isinstance(domain, Fixed) else list(domain.choices)
    return [float(value) for value in values]  # type: ignore[arg-type]


def range_plan(spec: StudySpec, steps_per_epoch: int) -> RangePlan:
    """The study's range tests, with as many seeds as 3 % of its budget pays for."""

    def none(why: str) -> RangePlan:
        return RangePlan(tests=(), seeds=0, steps_per_epoch=steps_per_epoch, skipped=why)

    if spec.range_test == "none":
        return none("a command has none" if spec.program == "command" else "none wanted")
    tests = tuple(
        ramp_plan(spec, name)
        for name, domains in spec.space.optimizers.items()
        if _is_continuous(domains["lr"]) and has_ramp(name)
    )
    if not tests:
        return none("no lr is a range")
    once = sum(len(test.lrs) for test in tests) / steps_per_epoch
    horizon = spec.horizon_epochs(steps_per_epoch)
    most = _most_epochs(spec, horizon)
    if once > most:
        return none(f"it takes {once:.3g} epochs, 3 % of the budget are {most:.3g}")
    plan = RangePlan(
        tests=tests,
        # What a time budget pays for is known only while it runs, so it pays for one seed.
        seeds=1 if most == math.inf else max(n for n in SEED_COUNTS if n * once <= most),
        steps_per_epoch=steps_per_epoch,
    )
    beside = range_test_is_beside(spec, horizon)
    if not beside and plan.epochs > search_epochs(spec, horizon) - horizon:
        return none("it leaves no trial")
    return plan


def has_ramp(optimizer: str) -> bool:
    """Whether a rising lr can be tried with the optimizer: not where it or a script ignores it."""
    return optimizer != SCRIPT and optimizer_info(optimizer, "space").constant_only is None


def most_seconds(spec: StudySpec) -> float:
    """How long one optimizer's range test may take: its part of 3 % of the budget's time."""
    if spec.budget.time is None:
        return math.inf
    return MOST_SHARE * spec.budget.time / len(spec.space.optimizers)


def _is_continuous(domain: Domain) -> bool:
    """Whether a window can confine it."""
    return (
        isinstance(domain, Range)
        and domain.step is None
        and not domain.integer
        and domain.low < domain.high
    )


def _most_epochs(spec: StudySpec, horizon: float) -> float:
    """What range tests may cost; anything where the budget is in seconds alone."""
    bounds, total = [math.inf], spec.budget.most_epochs(horizon)
    if spec.budget.trials is not None:
        bounds.append(MOST_SHARE * spec.budget.trials * horizon)
    if total is not None:
        bounds.append(MOST_SHARE * total)
    return min(bounds)


def sampler_windows(
    space: SearchSpace, results: Sequence[Unchecked]
) -> dict[str, tuple[float, float]]:
    """The windows that range tests found, as the sampler's parameters and their bounds.

    A result without a window, or that is none of a range test of the space, is left out.
    """
    found = (_window_of(space, result) for result in results if isinstance(result, Mapping))
    return dict(window for window in found if window is not None)


def _window_of(space: SearchSpace, result: Fields) -> tuple[str, tuple[float, float]] | None:
    """The window of a stored result; None where it has none, or is not what a range test stored."""
    window, optimizer = result.get("window"), result.get("optimizer")
    size = result.get("batch_size")
    if not isinstance(window, list | tuple) or not isinstance(optimizer, Mapping):
        return None
    name = optimizer.get("name")
    numbers = [*window, optimizer.get("momentum", 0.0), size or 1]
    if name not in list(space.optimizers) or len(window) != 2 or not all(map(is_number, numbers)):
        return None
    return sampler_window(space.optimizers[name], optimizer, (window[0], window[1]), size)


def sampler_window(
    domains: Mapping[str, Domain],
    optimizer: Fields,
    window: tuple[float, float],
    batch_size: int | None,
) -> tuple[str, tuple[float, float]]:
    """A window in torch's lr, found with `optimizer`, as the sampler's parameter and its bounds.

    `domains` are the optimizer's in the space, `batch_size` the test's, in samples of a
    step.
    """
    lr = domains["lr"]
    owner = optimizer["name"]
    info = optimizer_info(owner, "optimizer")
    momentum = float(info.taken(optimizer, "momentum"))
    tested = 1 - momentum
    low, high = 1.0, 1.0
    if isinstance(lr, Range) and lr.unit == "momentum_equivalent":
        low = high = equivalence(momentum, batch_size)
    elif info.accumulates and "momentum" in domains:
        # One window for every momentum.
        left = [1 - momentum for momentum in _momenta(domains["momentum"])]
        low, high = min(1.0, min(left) / tested), max(1.0, max(left) / tested)
    name = parameter_name(f"{owner}.lr", lr)
    return name, (window[0] * low, window[1] * high)


def _momenta(domain: Domain) -> list[float]:
    """The lowest and highest momentum of a domain."""
    if isinstance(domain, Range) and domain.unit == "complement" and domain.in_unit:
        return [1 - domain.high, 1 - domain.low]
    return _ends(domain) if isinstance(domain, Range) else [min(_ends(domain)), max(_ends(domain))]
