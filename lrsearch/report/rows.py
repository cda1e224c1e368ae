"""A trial and a range test as they are read: the stored records, and what they hold as values."""

from functools import cached_property

from lrsearch.range_test.analysis import RangeTest
from lrsearch.recipe.recipe import Recipe
from lrsearch.recipe.title import short_title
from lrsearch.storage.records import RangeTestRecord, TrialRecord
from lrsearch.trial.states import OPEN, TrialState


class Trial(TrialRecord):
    """A started trial of the search."""

    @classmethod
    def of(cls, record: TrialRecord) -> "Trial":
        return cls(**vars(record))

    @cached_property
    def parsed(self) -> Recipe | None:
        """Its recipe; None until there is one. Raises SpecError where what is stored is none."""
        return Recipe.from_dict(self.recipe) if self.recipe else None

    @property
    def has_ended(self) -> bool:
        return self.state not in OPEN

    @property
    def is_scored(self) -> bool:
        """Whether it was trained to its end and has a value."""
        return self.state == TrialState.COMPLETE and self.value is not None

    @property
    def is_audited(self) -> bool:
        """Whether it went on to its own end although a rung would have stopped it."""
        ended = self.state in (TrialState.COMPLETE, TrialState.DIVERGED)
        return ended and self.audited_at is not None

    @property
    def audit_epochs(self) -> float:
        """Epochs that it trained beyond the rung that would have stopped it."""
        return 0.0 if self.audit_from is None else max(0.0, self.epochs - self.audit_from)

    @property
    def audit_seconds(self) -> float:
        """Training time beyond that rung, in proportion to the epochs."""
        return self.seconds * self.audit_epochs / self.epochs if self.audit_epochs else 0.0

    @property
    def label(self) -> str:
        """`17: sgd lr 0.05 · cosine`: short enough for a legend."""
        recipe = self.parsed
        if recipe is None:
            return f"{self.number}"
        return f"{self.number}: {short_title(recipe)}"


class OptimizerRangeTest(RangeTestRecord):
    """The LR range test of one optimizer."""

    @classmethod
    def of(cls, record: RangeTestRecord) -> "OptimizerRangeTest":
        return cls(**vars(record))

    @cached_property
    def parsed(self) -> RangeTest | None:
        """What it read; None until it has ended."""
        return None if self.result is None else RangeTest.from_dict(self.result)
