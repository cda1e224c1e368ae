"""How the trials of a study are pruned: the part `pruning` of a study file."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from lrsearch.plain_data import Document, Unchecked
from lrsearch.spec.parts import Part


class RungSamples(Part):
    """Validation samples that trials are compared on at rungs that no epoch ends near."""

    count: int = Field(ge=1)
    #: Samples of the whole validation set; known once the study is created.
    of: int | None = Field(default=None, ge=1)
    #: Whether lrsearch has chosen the number.
    auto: bool = False


def as_rung_samples(value: Unchecked | RungSamples) -> Unchecked | RungSamples:
    """A number of samples alone as what it means."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return RungSamples(count=value)
    if value not in ("auto", "all") and not isinstance(value, dict | RungSamples):
        raise ValueError("auto, all or a number of validation samples is accepted")
    return value


class Pruning(Part):
    """Successive halving at schedule progress, asynchronous (Li et al. 2020) or planned.

    Defaults: eta 3, rungs at 4/11/33 %. Replayed on 512 AlexNet runs (benchmarks/replay.py), the
    regret at 20 trials' epochs is 0.61 error points, 1.66 with Optuna's default MedianPruner and
    1.89 without pruning; what MedianPruner finds with 40 trials' epochs takes 12.
    """

    #: `asynchronous`: a trial goes on from a rung if it is among the best third there so far.
    #: `planned`: it waits there, and the best of all that wait go on, see `trial.halving`; so where
    #: a budget of at least ten runs counts epochs and trials are of a task, else asynchronous.
    #: `auto`: planned where that applies.
    rule: Literal["auto", "asynchronous", "planned"] = "auto"
    eta: float = Field(default=3.0, gt=1)
    #: Rungs as fractions of the horizon.
    rungs: tuple[float, ...] = (0.04, 0.11, 0.33)
    #: At rungs that no epoch ends near, how much of the validation set trials are compared on: a
    #: fixed part with so many samples, or `all`. `auto`: see `trial.rung_samples`; decided when
    #: the study is created.
    samples: Annotated[Literal["auto", "all"] | RungSamples, BeforeValidator(as_rung_samples)] = (
        "auto"
    )
    #: A rung that fewer trials have reached prunes none.
    min_peers: int = Field(default=3, ge=2)
    #: Share of the trials to be pruned that go on all the same, so that the report can tell how
    #: often pruning errs; none in a study of fewer than 100 trials.
    audit: float = Field(default=0.05, ge=0, lt=1)

    @field_validator("rungs")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        inside = all(0 < rung < 1 for rung in value)
        if not value or not inside or list(value) != sorted(set(value)):
            raise ValueError("rising fractions between 0 and 1 are accepted")
        return value

    @property
    def part(self) -> RungSamples | None:
        """The part of the validation set that is taken at some rungs; None: always all of it."""
        return self.samples if isinstance(self.samples, RungSamples) else None

    def continuing(self, stored: "Pruning") -> "Pruning":
        """This, for a study that is there: what is left to lrsearch stays as it was decided."""
        older: Document = {}
        if self.rule == "auto":
            older["rule"] = stored.rule  # older than planned searches, or what was asked for
        undecided = stored.samples == "auto" and self.samples == "all"  # the same validations
        if undecided or self.samples == "auto" or (self.part is not None and self.part.auto):
            older["samples"] = stored.samples
        return self.model_copy(update=older)
