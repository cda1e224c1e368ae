"""When the trials of a study are validated, and on what."""

from dataclasses import dataclass, replace
from math import inf

from lrsearch.errors import SpecError
from lrsearch.spec.pruning import RungSamples
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial.rung_samples import FORWARD_PASSES, rung_samples
from lrsearch.trial.validations import Plan, make_plan


def study_plan(
    spec: StudySpec, *, steps_per_epoch: int, total_steps: int, is_judged: bool = True
) -> Plan:
    """When a trial is validated and judged.

    One that is not judged, as confirmation runs are not, leaves out what is measured for rungs
    alone, on a part of the validation set. Raises SpecError for more validations than fit a curve.
    """
    every, pruning = spec.validate_every, spec.pruning
    part = None if pruning is None else pruning.part
    has_rungs = pruning is not None and (is_judged or part is None)
    plan = make_plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        validate_steps=every.steps,
        validate_fraction=every.fraction,
        validate_rungs=every.rungs,
        rungs=pruning.rungs if pruning is not None and has_rungs else (),
        rung_samples=None if part is None else part.count,
    )
    return replace(plan, objective=spec.objective.metric)


def with_rung_samples(
    spec: StudySpec, *, steps_per_epoch: int, batch_size: int, whole: int | None, labels: float
) -> StudySpec:
    """The study with a decision in place of `pruning.samples: auto`.

    `whole` are the samples of a validation, with so many `labels` each; None where no part of them
    can be taken. Raises SpecError where the study file asks for a part of these.
    """
    if spec.pruning is None or spec.pruning.samples == "all":
        return spec
    given = spec.pruning.part
    if given is not None and whole is None:
        raise SpecError(
            f"pruning.samples = {given.count}, but no part can be taken of these validation data: "
            f"they are read from their beginning, or the task has carry; leave it out"
        )
    if given is None:
        count = _automatic(spec, steps_per_epoch, batch_size, whole, labels)
    else:
        count = given.count
    samples: RungSamples | str = "all"
    if count is not None and whole is not None and count < whole:
        samples = RungSamples(count=count, of=whole, auto=given is None)
    pruning = spec.pruning.model_copy(update={"samples": samples})
    return spec.model_copy(update={"pruning": pruning})


def _automatic(
    spec: StudySpec, steps_per_epoch: int, batch_size: int, whole: int | None, labels: float
) -> int | None:
    if whole is None or spec.pruning is None:
        return None
    total = round(spec.horizon_epochs(steps_per_epoch) * steps_per_epoch)
    part = spec.pruning.model_copy(update={"samples": RungSamples(count=1)})
    plan = study_plan(
        spec.model_copy(update={"pruning": part}),
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
    )
    return rung_samples(
        plan,
        trained=total * spec.accumulate * batch_size,
        whole=whole,
        averaged_after=inf if spec.ema is None else spec.ema.epochs * steps_per_epoch,
        labels=labels,
    )


@dataclass(frozen=True, kw_only=True)
class ValidationShare:
    """What the validations of a trial take that is trained to its end, as shares of its training.

    By the number of samples, of which a training step is taken to cost three forward passes.
    """

    #: All of them.
    total: float
    #: Those that are there for rungs alone.
    at_rungs: float


def validation_share(
    spec: StudySpec, *, steps_per_epoch: int, batch_size: int, whole: int
) -> ValidationShare:
    """Of a study whose `pruning.samples` are decided."""
    total = round(spec.horizon_epochs(steps_per_epoch) * steps_per_epoch)
    plan = study_plan(spec, steps_per_epoch=steps_per_epoch, total_steps=total)
    user = make_plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        validate_steps=spec.validate_every.steps,
        validate_fraction=spec.validate_every.fraction,
    )
    span = inf if spec.ema is None else spec.ema.epochs * steps_per_epoch
    every = at_rungs = 0.0
    for number, step in enumerate(plan.validations, start=1):
        is_looked_at = number in plan.rungs or step == total
        passes = 1 + (is_looked_at and step > span)
        cost = passes * (plan.samples if number in plan.partial else whole)
        every += cost
        at_rungs += cost if step not in user.validations else 0.0
    trained = FORWARD_PASSES * total * spec.accumulate * batch_size
    return ValidationShare(total=every / trained, at_rungs=at_rungs / trained)


def partial_rungs(spec: StudySpec, steps_per_epoch: int) -> tuple[float, ...]:
    """Rungs at which trials are compared on a part of the validation set, as fractions of a run."""
    if spec.pruning is None or spec.pruning.part is None:
        return ()
    total = round(spec.horizon_epochs(steps_per_epoch) * steps_per_epoch)
    plan = study_plan(spec, steps_per_epoch=steps_per_epoch, total_steps=total)
    placed = sorted(plan.rungs.items())
    return tuple(spec.pruning.rungs[rung] for number, rung in placed if number in plan.partial)
