"""What people read of rungs at which trials are compared on a part of the validation set."""

from collections.abc import Iterator

from lrsearch.report.text.format import percent
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.validation_plan import ValidationShare, partial_rungs


def validation_lines(
    spec: StudySpec, steps_per_epoch: int, share: ValidationShare | None
) -> Iterator[str]:
    """For `check`: on what trials are compared at early rungs, and what validation takes."""
    found = _compared(spec, steps_per_epoch)
    if found is not None:
        yield f"samples: at {found[0]}, near which no epoch ends, trials are compared on {found[1]}"
    if share is not None:
        told = f"validation: about {percent(share.total)} % of the training of a full trial"
        told += f", {percent(share.at_rungs)} % of it at rungs alone" if share.at_rungs else ""
        yield told


def rung_samples_sentence(spec: StudySpec, steps_per_epoch: int) -> str | None:
    """For reports; None where trials are compared on the whole set everywhere."""
    found = _compared(spec, steps_per_epoch)
    if found is None:
        return None
    places, samples = found
    return (
        f"At {places} of a full training, near which no epoch ends, trials were compared on "
        f"{samples}; what they showed there is no value and no point of a curve."
    )


def _compared(spec: StudySpec, steps_per_epoch: int) -> tuple[str, str] | None:
    """`4 and 11 %`, `136 of 1,000 validation samples`."""
    part = None if spec.pruning is None else spec.pruning.part
    rungs = [percent(rung) for rung in partial_rungs(spec, steps_per_epoch)]
    if part is None or not rungs:
        return None
    places = f"{', '.join(rungs[:-1])} and {rungs[-1]}" if rungs[1:] else rungs[0]
    of = "" if part.of is None else f" of {part.of:,}"
    return f"{places} %", f"{part.count:,}{of} validation samples"
