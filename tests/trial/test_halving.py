"""Planned halving: any number and speed of workers come to the outcome of one who waits."""

import heapq
import itertools
import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsearch.trial import halving as plan
from lrsearch.trial.halving import Account, Stage, next_stage

#: Epochs of a run at the service's rungs and at its end, if it has 100.
ENDS = (4.0, 11.0, 33.0, 100.0)


@dataclass(frozen=True)
class Run:
    number: int
    #: At the end of each stage.
    signals: tuple[float, ...]
    #: Epochs after which it diverges; infinite if never.
    diverges: float


@st.composite
def recorded(draw):
    """More runs than any plan below starts, with ties; some diverge."""
    seed, share = draw(st.integers(0, 10**6)), draw(st.sampled_from([0.0, 0.1, 0.5, 0.9]))
    chance = random.Random(seed)
    return [
        Run(
            number,
            tuple(float(chance.randrange(12)) for _ in ENDS),
            chance.uniform(0, 100) ** 2 / 100 if chance.random() < share else math.inf,
        )
        for number in range(600)
    ]


def synchronous(runs, stages):
    """Stage by stage, one run after the other: who trained in which, and the epochs of each."""
    trained, spent, budget = [], [], 0.0
    line = list(runs)
    for number, stage in enumerate(stages):
        budget += stage.share
        start, used, passed = ENDS[number] - stage.cost, 0.0, []
        for run in line:
            if used + stage.cost > budget + 1e-6:
                break
            trained.append((number, run.number))
            used += min(stage.cost, run.diverges - start)
            if run.diverges > ENDS[number]:
                passed.append(run)
        spent.append(used)
        budget -= used
        line = sorted(passed, key=lambda run: (run.signals[number], run.number))
    return set(trained), spent


class Fleet:
    """Workers that take what the plan gives, each at a speed of its own."""

    def __init__(self, runs, stages, workers, seed):
        self.runs, self.stages, self.workers = iter(runs), stages, workers
        self.chance = random.Random(seed)
        self.lines = [[] for _ in stages]
        self.charged = [0.0] * len(stages)
        self.training = []  # (time at its end, stage, number, run)
        self.trained, self.now, self.idle = [], 0.0, []

    def accounts(self):
        counts = [sum(stage == at for _, at, *_ in self.training) for stage in range(len(ENDS))]
        return [
            Account(
                charged=self.charged[stage],
                reserved=counts[stage] * self.stages[stage].cost,
                training=counts[stage],
                waiting=len(line),
                next_cost=self.stages[stage].cost if stage == 0 or line else None,
            )
            for stage, line in enumerate(self.lines)
        ]

    def work(self, speeds):
        """Until nothing is left; `speeds` gives the epochs per second of each training."""
        while True:
            while len(self.training) < self.workers and self._claim(speeds):
                pass
            if not self.training:
                return
            if len(self.training) < self.workers:
                self.idle.append(self.accounts())
            self._arrive()

    def _claim(self, speeds):
        accounts = self.accounts()
        stage = plan.next_stage(self.stages, accounts)
        if stage is None:
            return False
        self._look_at_shares()
        run = next(self.runs) if stage == 0 else self.lines[stage].pop(0)
        assert (stage, run.number) not in self.trained
        self.trained.append((stage, run.number))
        start = ENDS[stage] - self.stages[stage].cost
        epochs = min(ENDS[stage], run.diverges) - start
        heapq.heappush(
            self.training, (self.now + epochs / speeds(self.chance), stage, run.number, run)
        )
        return True

    def _look_at_shares(self):
        accounts, limit, used = self.accounts(), 0.0, 0.0
        for stage, account in zip(self.stages, accounts, strict=True):
            limit += stage.share
            used += account.charged + account.reserved
            assert used <= limit + 1e-6

    def _arrive(self):
        self.now, stage, _, run = heapq.heappop(self.training)
        start, end = ENDS[stage] - self.stages[stage].cost, ENDS[stage]
        self.charged[stage] += min(end, run.diverges) - start
        if run.diverges > end and stage + 1 < len(self.stages):
            self.lines[stage + 1].append(run)
            self.lines[stage + 1].sort(key=lambda run: (run.signals[stage], run.number))


def any_speed(chance):
    return chance.uniform(0.1, 10)


@settings(max_examples=120, deadline=None)
@given(
    runs=recorded(),
    budget=st.floats(3, 30),
    workers=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_any_workers_come_to_the_synchronous_outcome(runs, budget, workers, seed):
    stages = plan.make_stages(100 * budget, ENDS)
    fleet = Fleet(runs, stages, workers, seed)
    fleet.work(any_speed)  # no share is overshot on the way: it looks at each claim
    trained, spent = synchronous(runs, stages)
    assert set(fleet.trained) == trained
    assert fleet.charged == pytest.approx(spent)


@settings(max_examples=60, deadline=None)
@given(runs=recorded(), budget=st.floats(3, 30), seed=st.integers(0, 10**6))
def test_a_share_is_left_over_by_less_than_a_run(runs, budget, seed):
    stages = plan.make_stages(100 * budget, ENDS)
    fleet = Fleet(runs, stages, 3, seed)
    fleet.work(any_speed)
    left = 0.0
    for stage, line, charged in zip(stages, fleet.lines, fleet.charged, strict=True):
        left += stage.share - charged
        assert left < stage.cost or not line, "there were runs to train"


@settings(max_examples=60, deadline=None)
@given(runs=recorded(), budget=st.floats(5, 30), workers=st.integers(2, 12), data=st.data())
def test_a_worker_is_idle_only_while_the_seats_that_are_left_may_be_others(
    runs, budget, workers, data
):
    """Some of those in training might take them."""
    stages = plan.make_stages(100 * budget, ENDS)
    equal = data.draw(st.booleans())
    fleet = Fleet(runs, stages, workers, 0)
    fleet.work((lambda chance: 1.0) if equal else any_speed)
    for accounts in fleet.idle:
        first = next(number for number, account in enumerate(accounts) if account.training)
        later = list(zip(stages[first + 1 :], accounts[first + 1 :], strict=True))
        if not later or accounts[first + 1].next_cost is None:
            continue
        stage, account = later[0]
        taken = (account.charged + account.reserved) / stage.cost
        assert taken + accounts[first].training > stage.seats - 1 - 1e-6


def test_workers_of_equal_speed_never_idle_while_each_stage_has_a_seat_for_each():
    runs = [Run(number, (float(number % 17),) * 4, math.inf) for number in range(600)]
    stages = plan.make_stages(100 * 20.0, ENDS)
    assert [stage.seats for stage in stages] == [100, 57, 18, 11]
    for workers in (2, 6, 11):
        fleet = Fleet(runs, stages, workers, 0)
        fleet.work(lambda chance: 1.0)
        for accounts in fleet.idle:  # what is left is the last stage, and all of it is claimed
            assert accounts[-1].charged + accounts[-1].reserved >= 11 * stages[-1].cost - 1e-6


def test_who_is_far_behind_waits_and_who_cannot_be_overtaken_goes_on():
    stages = plan.make_stages(1000.0, (10.0, 110.0))  # 60 seats to 10 epochs, 4 to the end
    assert [stage.seats for stage in stages] == [60, 4]
    done = Account(charged=570.0, reserved=30.0, training=3, next_cost=10.0)
    for waiting, started, expected in ((57, 0, 1), (56, 1, None)):
        seats = Account(
            reserved=100.0 * started, training=started, waiting=waiting, next_cost=100.0
        )
        assert plan.next_stage(stages, [done, seats]) == expected


def test_what_a_stage_leaves_over_pays_in_the_next():
    stages = plan.make_stages(159.0, (10.0, 70.0))  # shares of 95.4 and 63.6 epochs
    for spent, expected in ((90.0, 1), (95.4 - 60 * 0.05, 1), (95.4, 1)):
        accounts = [
            Account(charged=spent, next_cost=10.0 if spent > 85.4 else None),
            Account(charged=3.0, waiting=1, next_cost=60.0),
        ]
        assert plan.next_stage(stages, accounts) == expected
    accounts = [Account(charged=95.0), Account(charged=4.1, waiting=1, next_cost=60.0)]
    assert plan.next_stage(stages, accounts) is None


def test_fewer_rungs_have_larger_shares():
    assert [s.share for s in plan.make_stages(100.0, (3.0, 10.0))] == pytest.approx([60.0, 40.0])
    whole = plan.make_stages(100.0, (10.0,))
    assert [(s.cost, s.share, s.seats) for s in whole] == [(10.0, 100.0, 10)]
    for ends in itertools.combinations(ENDS, 3):
        assert sum(s.share for s in plan.make_stages(77.0, ends)) == pytest.approx(77.0)


def test_what_is_left_over_beside_the_plan_pays_for_a_run_to_the_end_alone():
    stages = (Stage(cost=1.0, share=3.0), Stage(cost=3.0, share=3.0))
    done = Account(charged=3.0, next_cost=1.0)
    last = Account(charged=3.0, waiting=2, next_cost=3.0)
    assert next_stage(stages, (done, last)) is None
    assert next_stage(stages, (done, last), beside=2.0) is None
    assert next_stage(stages, (done, last), beside=3.0) == 1
