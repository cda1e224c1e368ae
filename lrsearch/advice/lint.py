"""What in a study is legal but looks like a mistake, one line each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lrsearch.advice.cost import portfolio_trials
from lrsearch.catalog.domains import Choice, Domain, Fixed, Range, first_value, largest
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.own import factors
from lrsearch.catalog.script import SCRIPT
from lrsearch.confirmation.budget import (
    LEAST_RESERVED,
    confirm_share,
    expected_trials,
    reserved_runs,
)
from lrsearch.space.presets import PRESETS
from lrsearch.space.sampling_units import REFERENCE_MOMENTUM, equivalence
from lrsearch.spec.distinct_recipes import distinct_recipes
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.own_code import is_own
from lrsearch.trial.rounding import EPSILON
from lrsearch.trial.validations import make_plan

#: A range that reaches this far beyond the published ones is unusual: a decade.
BEYOND = 10.0 * (1 + EPSILON)  # a decade itself is not beyond
#: Warm-up over a tenth of the run: lengthen training instead (Deep Learning Tuning Playbook).
LONG_WARMUP = 0.1
#: Below so many trials tune lr only, below the second number lr and momentum (same source).
FEW_TRIALS, SOME_TRIALS = 10, 25
#: Fields that the playbook tunes first, and second.
FIRST, SECOND = ("lr",), ("lr", "momentum", "beta1", "betas", "nesterov")
#: A plateau schedule with fewer validations has too few to wait for.
FEW_VALIDATIONS = 10


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The sizes that a study file does not hold: they are the task's."""

    steps_per_epoch: int
    #: Samples of an optimizer step.
    batch_size: int | None


def lint(spec: StudySpec, scale: Scale) -> list[str]:
    """Warnings about a study, each naming the field and what to do."""
    horizon = spec.horizon_epochs(scale.steps_per_epoch)
    return [
        *_ranges(spec, scale),
        *_warmup(spec),
        *_plateau(spec, scale),
        *_averaging(spec),
        *_partners(spec),
        *_factors(spec),
        *_coverage(spec, horizon),
        *_trial_count(spec, horizon),
        *_distinct(spec, horizon),
        *_budget(spec, horizon),
    ]


def _ranges(spec: StudySpec, scale: Scale) -> Iterator[str]:
    for name, fields in spec.space.optimizers.items():
        for key, domain in fields.items():
            if not isinstance(domain, Range) or domain.in_unit or domain.unit == "complement":
                continue
            place = f"space.optimizers.{name}.{key}"
            if key == "lr" and not domain.log and domain.step is None:
                yield f"{place} is not on a log scale; most of it would be its top decade"
            published = _published(name, key)
            if published is not None:
                factor = _factor(domain, fields, scale)
                yield from _against(place, domain, published, factor)


def _published(name: str, key: str) -> tuple[float, float] | None:
    """The union of what the registry and the presets search, in the sampling unit.

    Of a script's own optimizer, which may be any, nothing is published.
    """
    if name == SCRIPT:
        return None
    known = [optimizer_info(name, "optimizer").ranges, *_of_presets(name)]
    found = [domain for domains in known if isinstance(domain := domains.get(key), Range)]
    logarithmic = [domain for domain in found if domain.log]
    if not logarithmic:
        return None
    return min(d.low for d in logarithmic), max(d.high for d in logarithmic)


def _of_presets(name: str) -> Iterator[Mapping[str, Domain]]:
    for preset in PRESETS.values():
        if name in preset.optimizers:
            yield preset.optimizers[name]


def _factor(domain: Range, fields: Mapping[str, Domain], scale: Scale) -> float:
    """What torch's unit is multiplied by to compare with the published range."""
    if domain.unit != "momentum_equivalent":
        return 1.0
    momentum = fields.get("momentum")
    fixed = momentum.value if isinstance(momentum, Fixed) else REFERENCE_MOMENTUM
    return equivalence(float(fixed or 0.0), scale.batch_size)  # type: ignore[arg-type]


def _against(
    place: str, domain: Range, published: tuple[float, float], factor: float
) -> Iterator[str]:
    low, high = published[0] / factor, published[1] / factor
    text = f"{place} = {domain.low:g}..{domain.high:g}"
    if domain.high < low or domain.low > high:
        yield f"{text} lies outside every published range ({low:.2g}..{high:.2g}); a wrong unit?"
    elif domain.high > high * BEYOND or 0 < domain.low < low / BEYOND:
        yield f"{text} reaches more than a decade beyond the published {low:.2g}..{high:.2g}"


def _warmup(spec: StudySpec) -> Iterator[str]:
    longest = largest(spec.space.warmup)
    if longest > LONG_WARMUP:
        yield f"space.warmup reaches {100 * longest:g} % of the run; over 10 % train longer instead"


def _plateau(spec: StudySpec, scale: Scale) -> Iterator[str]:
    fields = spec.space.schedules.get("plateau")
    if fields is None or "patience" not in fields:  # a command's script has its own
        return
    total = spec.steps or (spec.epochs or 0) * scale.steps_per_epoch
    every = spec.validate_every
    plan = make_plan(
        steps_per_epoch=scale.steps_per_epoch,
        total_steps=total,
        validate_steps=every.steps,
        validate_fraction=every.fraction,
    )
    count = len(plan.validations)
    patience = round(largest(fields["patience"]) * count)
    place = "space.schedules.plateau"
    if count < FEW_VALIDATIONS:
        yield f"{place} has fewer than 10 validations to wait for; validate more often"
    elif patience + 2 >= count:
        yield (
            f"{place}.patience reaches {patience} of {count} validations, beyond the horizon: the "
            f"lr would never be cut"
        )


def _averaging(spec: StudySpec) -> Iterator[str]:
    schedules = [name for name in spec.space.schedules if name not in ("constant", SCRIPT)]
    for name in spec.space.optimizers:
        if schedules and optimizer_info(name, "optimizer").switches:
            yield (
                f"space.optimizers.{name} averages its weights in place of a schedule; "
                f"{', '.join(schedules)} would decay its lr as well"
            )


def _partners(spec: StudySpec) -> Iterator[str]:
    """Schedules and warm-ups that an optimizer's authors advise against."""
    for name, fields in spec.space.optimizers.items():
        known = optimizer_info(name, "optimizer").known
        for schedule in known.unadvised.keys() & spec.space.schedules.keys():
            yield (
                f"space.optimizers.{name} goes badly with {schedule}: {known.unadvised[schedule]}; "
                f"leave one of them out"
            )
        flag = known.warmup_flag
        if flag and largest(spec.space.warmup) > 0 and fields.get(flag) != Fixed(value=True):
            yield f"space.optimizers.{name} has warm-up; its authors advise {flag}: true with it"


def _factors(spec: StudySpec) -> Iterator[str]:
    """Schedules of the study's own that go above lr, which is the peak of every other."""
    for name, fields in spec.space.schedules.items():
        if not is_own(name):
            continue
        given = {key: first_value(domain) for key, domain in fields.items()}
        highest = max(factors(name, given), default=0.0)
        if highest > 1 + EPSILON:
            yield (
                f"space.schedules.{name} reaches {highest:.3g} x lr; lr is the peak of every other "
                f"schedule, so divide by {highest:.3g}"
            )


def _coverage(spec: StudySpec, horizon: float) -> Iterator[str]:
    count = _drawn_from(spec, horizon)
    pairs = len(spec.space.optimizers) * len(spec.space.schedules)
    if count is not None and count < pairs:
        yield (
            f"{_trials(spec, count)} is below the {pairs} pairs of optimizer and schedule; "
            f"name fewer in space, or raise it"
        )


def _drawn_from(spec: StudySpec, horizon: float) -> int | None:
    """The number of trials, where the sampler draws any of them; None where that is not known."""
    count = expected_trials(spec, horizon)
    known = len(spec.given_recipes()) + portfolio_trials(spec, horizon)
    return None if count is None or count <= known else count


def _trial_count(spec: StudySpec, horizon: float) -> Iterator[str]:
    count = _drawn_from(spec, horizon)
    if count is None or count >= SOME_TRIALS:
        return
    advice, tuned = ("lr only", FIRST) if count < FEW_TRIALS else ("lr and momentum only", SECOND)
    beyond = [name for name in _searched(spec) if name.rpartition(".")[2] not in tuned]
    if beyond:
        named = ", ".join(beyond[:3]) + (f" and {len(beyond) - 3} more" if beyond[3:] else "")
        yield f"{_trials(spec, count)}: with so few, tune {advice} and fix {named}"


def _trials(spec: StudySpec, count: int) -> str:
    """The budget, and the number of trials that follows from it where it is in another unit."""
    budget = spec.budget
    if budget.trials == count:
        return f"budget.trials = {count}"
    written = f"runs = {budget.runs}" if budget.epochs is None else f"epochs = {budget.epochs:g}"
    return f"budget.{written} (about {count} trial{'' if count == 1 else 's'})"


def _searched(spec: StudySpec) -> Iterator[str]:
    """Every field that is not fixed, by its place in the space."""
    for kind in ("optimizers", "schedules"):
        for name, fields in getattr(spec.space, kind).items():
            yield from (f"{name}.{key}" for key, domain in fields.items() if _varies(domain))
    yield from (f"params.{key}" for key, domain in spec.space.params.items() if _varies(domain))


def _varies(domain: Domain) -> bool:
    if isinstance(domain, Range):
        return domain.low < domain.high
    return isinstance(domain, Choice) and len(domain.choices) > 1


def _distinct(spec: StudySpec, horizon: float) -> Iterator[str]:
    """A space with fewer recipes than the budget has trials."""
    expected, found = expected_trials(spec, horizon), distinct_recipes(spec)
    if expected is None or found is None or len(found) >= expected:
        return
    count = len(found)
    yield (
        f"space has {count} distinct recipe{'' if count == 1 else 's'}, fewer than the "
        f"{expected} trials of the budget; each is trained once, then the search ends: widen the "
        f"space, or set budget: {{trials: {count}}}"
    )


def _budget(spec: StudySpec, horizon: float) -> Iterator[str]:
    count, epochs = spec.budget.trials, spec.budget.epochs
    if spec.confirm is not None and count is not None and count < 4:
        yield f"budget.trials = {count} leaves no run to confirm the winner; 4 leave one"
    if epochs is not None and epochs < horizon:
        yield (
            f"budget.epochs = {epochs:g} has room for no trial of {horizon:g} epochs; at "
            f"least {horizon:g} are needed"
        )
        return
    given, trials = len(spec.given_recipes()), expected_trials(spec, horizon)
    if given and trials is not None and trials <= given:
        yield (
            f"budget pays for {trials} trial{'' if trials == 1 else 's'}, which your own recipes "
            f"(baseline, enqueue) take: nothing else is tried; {given + 1} runs try one more"
        )
    total = spec.budget.most_epochs(horizon)
    if spec.confirm is not None and total is not None and not reserved_runs(spec, horizon):
        unit, each = ("runs", 1.0) if epochs is None else ("epochs", horizon)
        yield (
            f"budget.{unit} = {total / horizon * each:g} leaves no run to confirm the winner; "
            f"{math.ceil(LEAST_RESERVED / confirm_share(spec) * each)} leave {LEAST_RESERVED}"
        )
