"""What a study file says of the transfer to a longer horizon, and what a ladder study stores."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.spec.parts import Part
from lrsearch.spec.program import ProgramFields

#: What the runs of a ladder do not have alike.
OF_RUN = ("epochs", "steps", "seed")


class InSteps(Part):
    """Horizons in optimizer steps."""

    steps: tuple[int, ...]


def as_horizons(value: Unchecked | InSteps) -> Unchecked | InSteps:
    """A list of horizons, or one under `steps`, checked. Raises ValueError for anything else."""
    if value is None or isinstance(value, InSteps):
        return value
    if isinstance(value, dict) and set(value) == {"steps"}:
        return InSteps(steps=_whole(value["steps"]))
    return _whole(value)


def _whole(value: Unchecked) -> tuple[int, ...]:
    found = value if isinstance(value, list | tuple) else ()
    numbers = tuple(each for each in found if type(each) is int and 1 <= each < 2**31)
    if not numbers or len(numbers) != len(found):
        raise ValueError("whole epochs such as [1, 2, 4, 8] or {steps: [...]} are accepted")
    return numbers


class Transfer(Part):
    """What `lrsearch transfer` does unless its options say otherwise."""

    #: Short horizons, rising, in epochs or `{steps: [...]}`; None: an eighth of `to`, and halves.
    horizons: Annotated[tuple[int, ...] | InSteps | None, BeforeValidator(as_horizons)] = None
    #: The long run, in epochs, or in steps where the horizons are.
    to: int | None = Field(default=None, ge=2, lt=2**31)
    #: Learning rates on the shortest horizon, a factor 2.25 apart.
    lrs: int = Field(default=9, ge=3, le=31)
    #: Runs of each learning rate.
    seeds: int = Field(default=1, ge=1, le=100)
    #: Runs of the long horizon; 0: the answer is a guess.
    probes: Literal[0, 3] = 3
    #: Loss of the final weights, or lowest of the run; None: as in the study.
    objective: Literal["last", "best"] | None = None
    #: Samples of a batch of the long runs; None: as in the short ones.
    batch_size: int | None = Field(default=None, ge=1, lt=2**31)
    #: Whether runs go on from shorter ones of their rate, whose schedule `wsd` has not decayed yet.
    trunk: bool = False


class LadderField(Part):
    """What a study that `lrsearch transfer` has made trains; no study file has it."""

    #: The study whose recipe it is.
    of: str
    #: All of the recipe but lr, horizon and seed stays as it is.
    recipe: Document
    #: Of `horizons` and `to`.
    unit: Literal["epochs", "steps"]
    horizons: tuple[int, ...]
    to: int
    lrs: int
    seeds: int
    probes: int
    #: Samples of a batch of the long runs; None: as the recipe has it.
    batch_size: int | None = None
    #: Where runs go on from shorter ones: optimizer steps of the unit; None: each from step 0.
    steps_per_unit: int | None = None
    #: Whether the long run sees samples more than once.
    reuses_data: bool


class TransferFields(ProgramFields):
    """The fields of a study that its transfer to a longer horizon needs."""

    transfer: Transfer = Transfer()
    ladder: LadderField | None = None


def own_fields(ladder: LadderField | None, own: Document, fields: Fields) -> Document:
    """What a recipe of these fields has from its study, of what all its recipes have alike.

    Runs of a ladder have horizons and seeds of their own.
    """
    if ladder is None or not any(fields.get(key) for key in ("epochs", "steps")):
        return own
    return {key: value for key, value in own.items() if key not in OF_RUN}
