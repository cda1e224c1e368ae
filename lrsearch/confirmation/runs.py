"""Confirmation runs: their rounds and roles, one that is planned, one as it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

#: Rounds: runs that choose, runs whose means are reported, the one run for the test set.
CHOOSE, REPORT, TEST = "choose", "report", "test"
#: Roles.
CANDIDATE, WINNER, RIVAL, BASELINE = "candidate", "winner", "rival", "baseline"
#: In `test` of the reporting runs of a task that has a test set: its run is still to follow.
TEST_FOLLOWS = {"follows": True}


class Run(Protocol):
    """A confirmation run as it is stored."""

    @property
    def round(self) -> str: ...
    @property
    def role(self) -> str: ...

    #: Of the search trial whose recipe it re-runs.
    @property
    def number(self) -> int: ...
    @property
    def seed(self) -> int: ...

    #: `waiting`, then a `TrialState`.
    @property
    def state(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def metrics(self) -> Mapping[str, float | None] | None: ...
    @property
    def test(self) -> Mapping[str, float | None] | None: ...
    @property
    def epochs(self) -> float: ...
    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A confirmation run that is due."""

    round: str
    role: str
    #: Of the search trial whose recipe it re-runs.
    number: int
    seed: int
    #: `TEST_FOLLOWS`, or nothing yet.
    test: Mapping[str, float | None] | None = None
