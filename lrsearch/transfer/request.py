"""What a transfer is asked for, of a study: completed, or refused."""

from dataclasses import dataclass
from typing import Literal

from lrsearch.errors import SpecError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.transfer_field import InSteps, Transfer
from lrsearch.transfer.runs import unusable

#: What the longest short horizon is a share of, and how many there are.
SHARE, RUNGS = 8, 4
#: Short horizons of a run that is too short for a share of an eighth in whole epochs.
FEW = (1, 2, 4)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for, of a study."""

    to: int
    horizons: tuple[int, ...]
    #: Of both.
    unit: Literal["epochs", "steps"]
    lrs: int
    seeds: int
    probes: int
    objective: Literal["last", "best"]
    #: Of the long runs; None: as the recipe has it.
    batch_size: int | None = None
    #: Whether runs go on from shorter ones.
    trunk: bool = False

    @classmethod
    def of(cls, field: Transfer, spec: StudySpec) -> "Request":
        """What the field says, completed. Raises SpecError where it cannot be trained."""
        if field.to is None:
            raise SpecError("transfer.to: the horizon of the long run is needed; give --to EPOCHS")
        in_steps = isinstance(field.horizons, InSteps)
        unit: Literal["epochs", "steps"] = "steps" if in_steps or spec.steps else "epochs"
        if isinstance(field.horizons, InSteps):
            horizons = field.horizons.steps
        else:
            horizons = field.horizons or short_horizons(field.to)
        if why := unusable(horizons, field.to, field.probes):
            raise SpecError(f"transfer: {why}")
        return cls(
            to=field.to,
            horizons=horizons,
            unit=unit,
            lrs=field.lrs,
            seeds=field.seeds,
            probes=field.probes,
            objective=field.objective or spec.objective.at,
            batch_size=field.batch_size,
            trunk=field.trunk,
        )


def short_horizons(to: int) -> tuple[int, ...]:
    """An eighth of the long run and its halves down to 1, at most four, rising.

    Raises SpecError for a long run that is too short for three of them below its half.
    """
    found = sorted({round(to / SHARE / 2**i) for i in range(RUNGS)} - {0})
    if len(found) >= 3 and found[-1] >= 4 * found[0]:
        return tuple(found)
    if to < 2 * FEW[-1]:
        raise SpecError(
            f"transfer.to = {to}, but short horizons of 1, 2 and 4 are at most half of it; give 8 "
            f"or more, or horizons: {{steps: [...]}}"
        )
    return FEW
