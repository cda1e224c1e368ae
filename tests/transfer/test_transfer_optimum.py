"""A rung's optimum: where it is, how well it is known."""

import math

import pytest
from known_laws import Law

from lrsearch.transfer.optimum import find_optimum, optima, seed_spread
from lrsearch.transfer.runs import PlannedRun, Run

LRS = [0.03 * 2.25**i for i in range(-4, 5)]


def rung(law, horizon=1, lrs=LRS, seeds=1):
    planned = [PlannedRun(horizon=horizon, lr=lr, seed=s) for lr in lrs for s in range(seeds)]
    return [law.train(run) for run in planned]


@pytest.mark.parametrize("best", [0.01, 0.03, 0.0444])
def test_the_vertex_of_a_parabola_is_found(best):
    found = find_optimum(rung(Law(slope=0, at_first=best)), None)
    assert abs(found.x - math.log(best)) < 0.1
    assert found.spread < 0.2
    assert math.exp(found.ln_curvature) == pytest.approx(0.3, rel=0.3)
    assert not found.is_open


def test_the_optimum_lies_within_its_interval_as_often_as_it_says():
    laws = [Law(slope=0, at_first=0.02 + 0.0005 * i, noise=0.03) for i in range(60)]
    found = [find_optimum(rung(law), None) for law in laws]
    off = [abs(f.x - math.log(law.best(1))) / f.spread for f, law in zip(found, laws, strict=True)]
    assert sum(each < 1.645 for each in off) >= 0.85 * len(off)


def test_a_flat_basin_is_known_badly():
    flat = find_optimum(rung(Law(slope=0, curvature=0.001, noise=0.03)), None)
    assert flat.spread > 1


def test_runs_that_diverge_bound_the_optimum():
    law = Law(slope=0, at_first=0.08, cliff=0.07)
    found = find_optimum(rung(law), None)
    assert found.best.x == pytest.approx(math.log(0.0675))
    assert sum(point.diverged for point in found.points) == 3
    assert found.lr < 0.15
    assert not found.is_open


def test_an_optimum_outside_of_what_was_trained_is_open_and_stays_near():
    found = find_optimum(rung(Law(slope=0, at_first=30.0)), None)
    assert found.is_open
    assert found.x <= math.log(LRS[-1]) + 0.7


def test_curvature_is_carried_over_to_a_rung_of_few_points():
    law = Law(slope=0, noise=0.01)
    few = rung(law, horizon=2, lrs=LRS[3:6])
    alone = find_optimum(few, None)
    after = optima({1: rung(law), 2: few})[1]
    assert after.spread < alone.spread


def test_seeds_tell_how_far_losses_vary():
    law = Law(slope=0, noise=0.02)
    assert seed_spread(rung(law, seeds=6)) == pytest.approx(0.02, rel=0.4)
    assert seed_spread(rung(law)) is None


def test_a_rung_that_tells_nothing_is_refused():
    with pytest.raises(ValueError, match="every run diverged"):
        find_optimum([Run(horizon=1, lr=lr, seed=0, loss=None) for lr in LRS], None)
    with pytest.raises(ValueError, match="at least 3"):
        find_optimum(rung(Law(slope=0), lrs=LRS[:2]), None)
