"""Planned halving: the epochs of a search are shared out beforehand, and the best of all go on.

A run trains from rung to rung; at each it waits. The epochs between two rungs are a *stage*, and
each stage has a share of the search's epochs. Of all runs that wait before a stage the best enter
it, as many as its epochs pay for, and go on from where they stand.

Several workers need not wait for each other at every rung: a run may enter a stage as soon as no
run that is still to come can take its place. Hence the outcome is the same for any number and speed
of workers, and in the end nothing depends on the order in which they asked.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

from lrsearch.trial.rounding import EPSILON, floor

#: Share of the search's epochs for runs that go on to their ends. The stages before have equal
#: parts of the rest. Replayed with 200 orders at 10 runs' epochs (benchmarks/replay.py), the regret
#: was 13, 13 and 14 % lower than that of asynchronous halving at the same rungs; with half of the
#: epochs for the last stage 2, 9 and 9 %, with a quarter 10, 4 and 7 %.
FINALS = 0.4


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The stretch of a run from one rung to the next."""

    #: Epochs that a run trains in it.
    cost: float
    #: Epochs for all runs together; what an earlier stage has left over comes on top.
    share: float

    @property
    def seats(self) -> int:
        """Runs that its own share pays for."""
        return floor(self.share / self.cost)


@dataclass(frozen=True, kw_only=True)
class Account:
    """What has been done in a stage so far, and who is next."""

    #: Epochs of the runs that have left it: at its end, or diverged or failed in it.
    charged: float = 0.0
    #: Epochs of the runs in training there, each counted to the stage's end.
    reserved: float = 0.0
    #: How many are in training there.
    training: int = 0
    #: How many wait to enter it; new runs are not counted.
    waiting: int = 0
    #: Epochs in this stage of the next run: the best that waits, before the first stage a new one.
    #: None if there is none.
    next_cost: float | None = None


class Place(Enum):
    """What a run of the search does at its stage."""

    TRAINS = auto()
    WAITS = auto()  #: to enter it
    ENDED = auto()


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run of the search stands."""

    #: Of the stages, from 0: the one that it trains in or waits to enter.
    stage: int
    place: Place
    #: Trained before it ended.
    epochs: float = 0.0
    #: What it showed at its last rung: lower is better. None before its first.
    signal: float | None = None
    #: The earlier of two that have shown the same is the better.
    ticket: int

    @property
    def rank(self) -> tuple[float, int]:
        """The least is the best."""
        return math.inf if self.signal is None else self.signal, self.ticket


def make_stages(epochs: float, ends: Sequence[float]) -> tuple[Stage, ...]:
    """The stages of a search of so many epochs.

    `ends` are the epochs of a run at its rungs and at its end, rising.
    """
    costs = [end - start for start, end in pairwise([0.0, *ends])]
    early = len(costs) - 1
    shares = [(1 - FINALS) / early] * early + [FINALS] if early else [1.0]
    return tuple(
        Stage(cost=cost, share=epochs * share) for cost, share in zip(costs, shares, strict=True)
    )


def next_stage(
    stages: Sequence[Stage], accounts: Sequence[Account], *, beside: float = 0.0
) -> int | None:
    """The stage whose next run may be trained now, the earliest of several; None if none may.

    A run enters a stage when the epochs pay for it, for those that have entered before, and for all
    that may still arrive and be better. None while others are in training: one of them has to
    arrive first. None while nobody trains: the search is over.

    `beside` are epochs that runs and range tests beside the plan have left over. They pay for runs
    to the end: no earlier choice depends on when such a run ends.
    """
    pairs = zip(stages, accounts, strict=True)
    unspent, arrivals, is_closed = 0.0, 0, True
    for number, (stage, account) in enumerate(pairs):
        unspent += stage.share
        # What earlier stages leave is known when they are closed: nobody trains or enters there.
        most = unspent if is_closed else stage.share
        most += beside if number == len(stages) - 1 else 0.0
        if account.next_cost is not None:
            ahead = account.charged + account.reserved + arrivals * stage.cost
            if ahead + account.next_cost <= most * (1 + EPSILON):
                return number
        is_closed = is_closed and not account.training
        arrivals = 0 if is_closed else _arrivals(stage, account, unspent, arrivals, number == 0)
        unspent -= account.charged
    return None


def _arrivals(stage: Stage, account: Account, unspent: float, before: int, is_first: bool) -> int:
    """How many runs may still arrive at the end of a stage, at most.

    `unspent` are the epochs that may be spent there if nothing more is spent before it, `before`
    the runs that may still arrive at its beginning. One that diverges makes room for another, so
    what is in training has spent nothing yet.
    """
    paid = floor(max(0.0, unspent - account.charged) / stage.cost)
    if is_first and account.next_cost is not None:
        return paid
    return min(paid, account.training + account.waiting + before)


def accounts(
    stages: Sequence[Stage], runs: Sequence[Standing], *, has_new: bool
) -> tuple[Account, ...]:
    """The account of each stage; `has_new` is whether there is a new run to begin."""
    return tuple(_accounts(stages, runs, has_new))


def _accounts(
    stages: Sequence[Stage], runs: Sequence[Standing], has_new: bool
) -> Iterator[Account]:
    start = 0.0
    for number, stage in enumerate(stages):
        past = sum(run.stage > number and run.place != Place.ENDED for run in runs)
        ended = (run.epochs - start for run in runs if run.place == Place.ENDED)
        here = [run.place for run in runs if run.stage == number]
        training, waiting = here.count(Place.TRAINS), here.count(Place.WAITS)
        yield Account(
            charged=past * stage.cost + math.fsum(min(max(0.0, e), stage.cost) for e in ended),
            reserved=training * stage.cost,
            training=training,
            waiting=waiting,
            next_cost=stage.cost if waiting or (has_new and number == 0) else None,
        )
        start += stage.cost


def best_waiting(runs: Sequence[Standing], stage: int) -> Standing:
    """The next to enter a stage before which some wait."""
    line = (run for run in runs if run.place == Place.WAITS and run.stage == stage)
    return min(line, key=lambda run: run.rank)
