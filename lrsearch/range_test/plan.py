"""Which optimizers of a study get an LR range test, over which lr, and what its windows mean.

`range_test: auto` runs it before a study, of as many optimizers as 3 % of the budget pay for.
"""

import math
from dataclasses import dataclass, replace

from lrsearch.catalog.domains import Domain, Fixed, Range, first_value
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.script import SCRIPT
from lrsearch.confirmation.budget import reserved_share, search_epochs, trains_whole
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Fields
from lrsearch.range_test.analysis import SEED_COUNTS
from lrsearch.range_test.reading import PLAIN_STEP, grid
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.groups import middle_groups
from lrsearch.space.sampling_units import REFERENCE_MOMENTUM
from lrsearch.spec.portfolio_field import entries
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial.rounding import EPSILON, floor

#: Share of the budget's epochs that range tests may cost at most.
MOST_SHARE = 0.03
ROUNDING = 1 + EPSILON
#: A ramp starts so far below the middle of the optimizer's range, where hardly anything is trained
#: yet.
BELOW = 100.0
#: Steps of a ramp at most, unless it diverges before: to 70,000 times the middle of the range. On
#: the seventeen tasks of benchmarks/portfolio and six more, ramps took 23 to 42.
MOST_STEPS = 60
#: A test with fewer steps is not begun: they reach 26 times the middle of the range, where two of
#: three of those ramps had ended.
LEAST_STEPS = 30
#: Where a ramp diverges in its first steps, another starts so far below it.
LOWER = 1e4


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

    def lower(self, trained: int) -> "RampPlan":
        """From lower rates, with the steps that are left after so many."""
        return replace(self, lrs=grid(self.lrs[0] / LOWER, max(1, len(self.lrs) - trained)))

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
    #: Optimizers that the budget pays no test for.
    untested: tuple[str, ...] = ()
    #: Epochs by which the budget is raised for them.
    extra: float = 0.0

    def epochs_of(self, test: RampPlan) -> float:
        """What a test trains at most."""
        return self.seeds * len(test.lrs) / self.steps_per_epoch

    @property
    def epochs(self) -> float:
        return sum(self.epochs_of(test) for test in self.tests)


def ramp_plan(spec: StudySpec, name: str, steps: int = MOST_STEPS) -> RampPlan:
    """The range test of an optimizer of the space, a ramp of `steps` at most.

    Raises SpecError for another optimizer, and for `script`.
    """
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
    guess = min(_middle(domain) for domain in (lr, info.ranges.get("lr")) if domain is not None)
    return RampPlan(optimizer=optimizer, lrs=grid(guess / BELOW, min(steps, MOST_STEPS)))


def _middle(domain: Domain) -> float:
    """Geometric, about in torch's units."""
    ends = values_of(domain)
    return math.sqrt(min(ends) * max(ends))


def values_of(domain: Domain) -> list[float]:
    """The values of a domain of numbers, of a range its ends."""
    if isinstance(domain, Range):
        return [domain.low, domain.high]
    values = [domain.value] if isinstance(domain, Fixed) else list(domain.choices)
    return [float(value) for value in values]  # type: ignore[arg-type]


def range_plan(spec: StudySpec, steps_per_epoch: int) -> RangePlan:
    """The study's range tests: as many optimizers, with as many seeds, as its share pays for.

    Where it does not pay for all, ramps are cut short before an optimizer goes without.
    """

    def none(why: str) -> RangePlan:
        return RangePlan(tests=(), seeds=0, steps_per_epoch=steps_per_epoch, skipped=why)

    if spec.range_test == "none":
        return none("a command has none" if spec.program == "command" else "none wanted")
    names = _tested(spec)
    if not names:
        return none("no lr is a range")
    horizon = spec.horizon_epochs(steps_per_epoch)
    most = _most_epochs(spec, horizon)
    affordable = most * steps_per_epoch / LEAST_STEPS
    count = len(names) if affordable >= len(names) else floor(affordable)
    if count < 1:
        once = LEAST_STEPS / steps_per_epoch
        return none(f"one of {LEAST_STEPS} steps is {once:.3g} epochs, 3 % are {most:.3g}")
    steps = MOST_STEPS
    if most < math.inf:
        steps = min(MOST_STEPS, floor(most * steps_per_epoch / count))
    once = count * steps / steps_per_epoch
    plan = RangePlan(
        tests=tuple(ramp_plan(spec, name, steps) for name in names[:count]),
        # What a time budget pays for is known only while it runs, so it pays for one seed.
        seeds=1 if most == math.inf else max(n for n in SEED_COUNTS if n * once <= most * ROUNDING),
        steps_per_epoch=steps_per_epoch,
        untested=names[count:],
    )
    if counts_whole_runs(spec, horizon):
        share = reserved_share(spec, horizon)
        return replace(plan, extra=plan.epochs / (1 - share))
    if plan.epochs > search_epochs(spec, horizon) - horizon:
        return none("it leaves no trial")
    return plan


def counts_whole_runs(spec: StudySpec, horizon: float) -> bool:
    """Whether the budget is so many whole runs, where 3 % less would be a run less.

    Range tests then come on top of it.
    """
    budget = spec.budget
    by_runs_alone = budget.runs is not None and budget.epochs is None and budget.trials is None
    return by_runs_alone and trains_whole(spec, horizon)


def _tested(spec: StudySpec) -> tuple[str, ...]:
    """Optimizers that a test makes sense for: those whose edge guards most come first.

    They are those without a scaled step, then those that the portfolio begins with.
    """
    names = [
        name
        for name, domains in spec.space.optimizers.items()
        if _is_continuous(domains["lr"]) and has_ramp(name)
    ]
    order = list(dict.fromkeys([*PLAIN_STEP, *(e.name for e in entries(spec.portfolio))]))
    return tuple(sorted(names, key=lambda n: order.index(n) if n in order else len(order)))


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
