"""The ladder: which runs are due, what they cost, and what the answer says of known laws."""

import math
from dataclasses import replace

import numpy as np
import pytest
from known_laws import LADDER, Law, trained

from lrsearch.transfer.answer import answer
from lrsearch.transfer.constants import GRID
from lrsearch.transfer.plan import expected_cost, next_runs, worst_cost
from lrsearch.transfer.runs import Run, unusable

GUESS = replace(LADDER, probes=0)
SLOPES = [0.0, -1 / 3, -1.0]


def test_the_first_rung_is_spread_around_the_centre():
    due = next_runs(LADDER, [])
    assert [run.horizon for run in due] == [1] * 9
    assert due[4].lr == pytest.approx(0.03)
    assert due[5].lr / due[4].lr == pytest.approx(2.25)


def test_a_ladder_that_is_not_extended_costs_what_was_expected():
    runs = trained(LADDER, Law(slope=-0.1).train)
    cost = expected_cost(LADDER)
    assert sum(run.horizon for run in runs) == cost.total
    assert len(runs) == cost.runs == 9 + 5 + 5 + 3 + 4
    assert cost.ladder == 9 + 10 + 20 + 24
    assert cost.probes == 256


@pytest.mark.parametrize("seed", range(20))
def test_no_ladder_costs_more_than_the_worst(seed):
    """On losses that are nothing but noise, and with runs that diverge."""
    rng = np.random.default_rng(seed)

    def train(run):
        loss = None if rng.random() < 0.2 else float(np.exp(rng.normal()))
        return Run(horizon=run.horizon, lr=run.lr, seed=run.seed, loss=loss)

    runs = trained(replace(LADDER, seeds=2), train)
    assert sum(run.horizon for run in runs) <= worst_cost(replace(LADDER, seeds=2)).total
    assert len({(run.horizon, run.lr, run.seed) for run in runs}) == len(runs)


def test_the_plan_does_not_depend_on_the_order_in_which_runs_end():
    runs = trained(LADDER, Law(slope=-0.3).train)
    half = runs[:14]
    assert next_runs(LADDER, half[::-1]) == next_runs(LADDER, half) != []


def test_a_rung_is_extended_while_its_best_lies_at_an_end():
    runs = trained(LADDER, Law(slope=0.0, at_first=0.03 * 2.25**6).train)
    first = sorted(run.lr for run in runs if run.horizon == 1)
    assert len(first) == 9 + 3
    assert first[-1] > 0.03 * 2.25**6


def test_the_best_probe_has_one_half_a_step_beside_it():
    runs = trained(LADDER, Law(slope=-0.1, noise=0.0).train)
    probes = sorted(run.lr for run in runs if run.horizon == 64)
    best = min((run for run in runs if run.horizon == 64), key=lambda run: run.loss).lr
    around = [lr / best for lr in probes if 0.6 < lr / best < 1.6 and lr != best]
    assert min(abs(abs(math.log(ratio)) - GRID) for ratio in around) < 1e-4
    assert abs(math.log(best / Law(slope=-0.1).best(64))) < GRID


def hidden_overfitting(run):
    """Like a training limit up to horizon 8; beyond it high rates overfit, low ones do not."""
    x = math.log(run.lr / 0.1)
    loss = math.exp(0.1 * x**2) / run.horizon**0.2
    if run.horizon > 8:
        far = math.log(run.lr / (0.1 * 8 / run.horizon))
        loss = min(2 * math.exp(0.1 * x**2), math.exp(far**2))
    return Run(horizon=run.horizon, lr=run.lr, seed=run.seed, loss=loss)


def test_where_long_runs_are_worse_than_short_ones_a_lower_rate_is_tried():
    runs = trained(LADDER, hidden_overfitting)
    found = answer(LADDER, runs)
    assert abs(math.log(found.lr / (0.1 * 8 / 64))) < 2 * GRID
    assert "disagree" in found.flags
    assert sum(run.horizon for run in runs) <= worst_cost(LADDER).total


def test_a_loss_without_a_minimum_ends_the_ladder_and_is_refused():
    runs = trained(LADDER, Law(slope=0.0, at_first=1e6).train)
    assert {run.horizon for run in runs} == {1}
    assert len(runs) == 9 + 4
    assert answer(LADDER, runs) is None or "no minimum" in answer(LADDER, runs).refusal


def test_a_ladder_whose_every_run_diverges_ends():
    runs = trained(LADDER, Law(slope=0.0, cliff=0.0).train)
    assert len(runs) == 9 + 4
    assert answer(LADDER, runs) is None


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("ladder", [LADDER, GUESS])
def test_the_best_lr_of_a_straight_law_lies_within_the_interval(slope, ladder):
    law = Law(slope=slope, at_first=0.06)
    found = answer(ladder, trained(ladder, law.train))
    low, high = found.interval
    assert low < law.best(64) < high
    assert found.is_complete
    assert found.is_guess == (ladder is GUESS)
    assert abs(math.log(found.lr / law.best(64))) < (0.41 if ladder is LADDER else 0.7)


def test_overfitting_is_flagged_and_named():
    found = answer(GUESS, trained(GUESS, Law(slope=-1.0, at_first=0.06).train))
    assert "overfit" in found.flags
    assert found.guides["lr x T constant"] == pytest.approx(found.lr, rel=0.5)


def test_a_kink_below_the_longest_rung_is_flagged():
    law = Law(slope=0.3, bend=4, after=-1.5, noise=0.001)
    found = answer(GUESS, trained(GUESS, law.train))
    assert "kink" in found.flags


def test_a_kink_above_the_longest_rung_is_seen_by_probes_alone():
    """At T/2: the guess misses it, its interval is wide enough, and the probes find it."""
    law = Law(slope=0.0, bend=16, after=-1.0)
    guess = answer(GUESS, trained(GUESS, law.train))
    found = answer(LADDER, trained(LADDER, law.train))
    assert guess.interval[0] < law.best(64) < guess.interval[1]
    assert abs(math.log(found.lr / law.best(64))) < 0.41
    assert abs(math.log(guess.lr / law.best(64))) > 1
    assert "disagree" in found.flags
    assert "disagree" not in guess.flags


def test_a_guess_allows_for_a_rate_that_rises_even_where_no_sample_is_seen_twice():
    found = answer(GUESS, trained(GUESS, Law(slope=-0.1).train))
    online = replace(GUESS, reuses_data=False)
    theirs = answer(online, trained(online, Law(slope=-0.1).train))
    assert theirs.interval[1] == found.interval[1] > 3 * found.longest.lr
    assert theirs.interval[0] > 2 * found.interval[0]


def test_a_flat_basin_is_refused_as_a_guess_and_flagged_with_probes():
    law = Law(slope=0.0, curvature=0.0005, noise=0.02)
    guess = answer(GUESS, trained(replace(GUESS, lrs=9), law.train))
    assert guess.lr is None
    assert "within a factor" in guess.refusal or "no minimum" in guess.refusal


def test_the_best_beside_a_cliff_is_found():
    law = Law(slope=0.0, at_first=0.08, cliff=0.07)
    found = answer(LADDER, trained(LADDER, law.train))
    assert 0.03 <= found.lr <= 0.07


@pytest.mark.parametrize("ladder", [LADDER, GUESS])
def test_other_units_of_lr_give_the_same_answer(ladder):
    law = Law(slope=-0.4)
    ours = answer(ladder, trained(ladder, law.train))
    other = replace(ladder, centre=1000 * ladder.centre)
    theirs = answer(other, trained(other, replace(law, unit=1000.0).train))
    assert theirs.lr == pytest.approx(1000 * ours.lr, rel=0.01)
    assert theirs.interval == pytest.approx([1000 * each for each in ours.interval], rel=0.01)
    assert theirs.flags == ours.flags


def test_an_answer_midway_is_what_the_ended_rungs_say():
    runs = trained(LADDER, Law(slope=-0.1).train)
    midway = answer(LADDER, [run for run in runs if run.horizon <= 2])
    assert not midway.is_complete
    assert [each.horizon for each in midway.rungs] == [1, 2]
    assert midway.is_guess


@pytest.mark.parametrize(
    ("horizons", "to", "probes", "words"),
    [
        ([1, 2], 64, 3, "at least 3"),
        ([4, 2, 8], 64, 3, "have to rise"),
        ([1, 2, 64], 64, 3, "end below 64"),
        ([4, 5, 6], 64, 3, "a factor of 4"),
        ([1, 2, 4], 64, 0, "at most 8 times"),
        ([1, 2, 4], 65, 3, "at most 16 times"),
    ],
)
def test_horizons_that_tell_nothing_are_refused(horizons, to, probes, words):
    assert words in unusable(horizons, to, probes)


def test_usable_horizons_are_not_refused():
    assert not unusable([1, 2, 4, 8], 64, 0)
    assert not unusable([1, 2, 4], 64, 3)
