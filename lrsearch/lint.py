"""What a study will cost at most, and what in it looks unwise."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from lrsearch.confirm import MOST_RUNS, allowed_runs
from lrsearch.optimizers import OPTIMIZERS
from lrsearch.range_plan import range_plan
from lrsearch.ranges import Choice, Fixed, Range
from lrsearch.spec import CONFIRM_SHARE, StudySpec

#: A range that reaches this far beyond the preset's end is unusual: a decade.
BEYOND = 10.0
#: Warm-up over a tenth of the run: lengthen training instead (Deep Learning Tuning Playbook).
LONG_WARMUP = 0.1
#: Below so many trials tune lr only, below the second number lr and momentum (same source).
FEW_TRIALS, SOME_TRIALS = 10, 25


@dataclass(frozen=True, kw_only=True)
class CostPlan:
    """Epochs that a study trains at most; None where the budget sets no bound."""

    horizon: float
    trials: int | None
    range_test: float
    #: Why no range test is planned; empty if one is.
    no_range_test: str
    search: float | None
    confirm_runs: int
    #: The budget's own bound on everything together.
    total_epochs: float | None

    @property
    def confirm(self) -> float:
        return self.confirm_runs * self.horizon

    @property
    def total(self) -> float | None:
        if self.search is None:
            return None
        parts = self.range_test + self.search + self.confirm
        return parts if self.total_epochs is None else min(parts, self.total_epochs)


def cost_plan(spec: StudySpec, steps_per_epoch: int) -> CostPlan:
    """The most that the study's budget allows."""
    horizon = spec.horizon_epochs(steps_per_epoch)
    budget, confirm = spec.budget, spec.confirm
    bounds = []
    if budget.trials is not None:
        bounds.append(budget.trials * horizon)
    if budget.total_epochs is not None:
        bounds.append(budget.total_epochs * (1 - (CONFIRM_SHARE if confirm is not None else 0)))
    runs = 0
    if confirm is not None:
        started = sys.maxsize if budget.trials is None else budget.trials
        left = budget.total_epochs
        most = allowed_runs(spec, started=started, epochs_left=left, horizon=horizon)
        runs = min(confirm.runs or MOST_RUNS, most)
    tests = range_plan(spec, steps_per_epoch)
    return CostPlan(
        horizon=horizon,
        trials=budget.trials,
        range_test=tests.epochs,
        no_range_test=tests.skipped,
        search=min(bounds) if bounds else None,
        confirm_runs=runs,
        total_epochs=budget.total_epochs,
    )


def lint(spec: StudySpec) -> list[str]:
    """What is legal but looks like a mistake, one line each, naming the field."""
    return [*_ranges(spec), *_schedules(spec), *_budget(spec)]


def _ranges(spec: StudySpec) -> Iterator[str]:
    for name, fields in spec.space.optimizers.items():
        for key, domain in fields.items():
            preset = OPTIMIZERS[name].ranges.get(key)
            place = f"space.optimizers.{name}.{key}"
            if not isinstance(domain, Range) or domain == preset:
                continue
            if key == "lr" and not domain.log and domain.step is None:
                yield f"{place} is not on a log scale; most of it would be its top decade"
            if isinstance(preset, Range) and preset.log and not domain.in_unit:
                if domain.unit == "complement":
                    continue
                if domain.high > preset.high * BEYOND or 0 < domain.low < preset.low / BEYOND:
                    yield (
                        f"{place} = {domain.low:g}..{domain.high:g} reaches more than a decade "
                        f"beyond the published {preset.low:g}..{preset.high:g}"
                    )


def _schedules(spec: StudySpec) -> Iterator[str]:
    warmup = spec.space.warmup
    longest = (
        warmup.high
        if isinstance(warmup, Range)
        else max(float(value or 0) for value in _values(warmup))  # type: ignore[arg-type]
    )
    if longest > LONG_WARMUP:
        yield f"space.warmup reaches {100 * longest:g} % of the run; over 10 % train longer instead"
    plateau = spec.space.schedules.get("plateau")
    if plateau is not None and spec.epochs is not None and spec.epochs < 10:
        yield "space.schedules.plateau has fewer than 10 validations to wait for"


def _values(domain: Fixed | Choice) -> tuple[object, ...]:
    return (domain.value,) if isinstance(domain, Fixed) else domain.choices


def _budget(spec: StudySpec) -> Iterator[str]:
    count = spec.budget.trials
    pairs = len(spec.space.optimizers) * len(spec.space.schedules)
    if count is not None and count < pairs:
        yield (
            f"budget.trials = {count} is below the {pairs} pairs of optimizer and schedule; "
            f"name fewer in space, or raise it"
        )
    if count is not None and count < SOME_TRIALS:
        advice = "lr only" if count < FEW_TRIALS else "lr and momentum only"
        yield f"budget.trials = {count}: with so few, tune {advice} and fix the rest"
    if spec.confirm is not None and count is not None and count < 4:
        yield f"budget.trials = {count} leaves no run to confirm the winner; 4 leave one"
