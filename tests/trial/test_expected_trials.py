"""How many trials a number of full runs is expected to pay for."""

import random

import pytest

from lrsearch.trial.expected_trials import COUNTED, expected_trials
from lrsearch.trial.pruning import survives

PRUNING = {"rungs": (0.04, 0.11, 0.33), "eta": 3.0, "min_peers": 3}


def expected(runs, **changes):
    return expected_trials(runs, **{**PRUNING, **changes})


def simulated(runs, generator):
    """Trials with signals in random order, the same at each rung, pruned as a study does."""
    seen = [[] for _ in PRUNING["rungs"]]
    started, left = 0, runs
    while left >= 1:
        started += 1
        signal, trained = generator.random(), 1.0
        for others, progress in zip(seen, PRUNING["rungs"], strict=True):
            better = sum(other < signal for other in others)
            goes_on = survives(better=better, others=len(others), eta=PRUNING["eta"], min_peers=3)
            others.append(signal)
            if not goes_on:
                trained = progress
                break
        left -= trained
    return started


@pytest.mark.parametrize("runs", [5, 15, 40])
def test_it_is_somewhat_less_than_with_a_sampler_that_never_learns(runs):
    generator = random.Random(0)
    mean = sum(simulated(runs, generator) for _ in range(100)) / 100
    assert 0.65 * mean < expected(runs) <= mean


@pytest.mark.parametrize(("runs", "trials"), [(0.9, 0), (1, 1), (1.9, 1), (7, 7), (7.5, 7)])
def test_without_pruning_it_is_the_whole_runs(runs, trials):
    assert expected(runs, rungs=()) == trials


def test_more_runs_pay_for_more_trials_beyond_those_that_are_counted_too():
    counts = [expected(runs) for runs in (1, 2, 10, 100, 1_000, 10_000)]
    assert counts == sorted(set(counts))
    assert counts[-1] > COUNTED
    assert expected(COUNTED, rungs=()) == COUNTED
    assert expected(3 * COUNTED + 0.5, rungs=()) == 3 * COUNTED
