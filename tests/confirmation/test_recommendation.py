"""What confirmation runs say: means, intervals, ties, and which recipe is recommended."""

from dataclasses import replace
from statistics import stdev

import numpy as np
import pytest
from confirmed_runs import run, trial
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from stored import curve_record
from tiny_studies import tiny_spec

from lrsearch.confirmation.candidates import Candidate, ranked, smoothed_score
from lrsearch.confirmation.confirmed import Optimism, RunnerUp
from lrsearch.confirmation.lr_tolerance import LrTrial, width
from lrsearch.confirmation.recommendation import judged
from lrsearch.confirmation.runs import REPORT
from lrsearch.confirmation.statistics import (
    common_step,
    difference,
    interval,
    pooled_spread,
    signed_rank,
    t_quantile,
    verdict,
)

MINIMIZE = tiny_spec()
MAXIMIZE = tiny_spec(objective={"metric": "mae", "direction": "maximize"})
TRIALS = {0: trial(2.0), 7: trial(0.5), 8: trial(0.6)}
samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30).filter(lambda v: stdev(v) > 1e-3)


# Statistics


@given(samples)
def test_the_interval_is_scipys(values):
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)


@given(st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]), st.integers(1, 500))
def test_the_quantiles_of_t_are_scipys(confidence, degrees):
    expected = stats.t.ppf((1 + confidence) / 2, degrees)
    assert t_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-9)


steps = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]) | st.floats(-3, 3)


@given(st.lists(steps, min_size=6, max_size=25).filter(any))
def test_the_signed_rank_test_is_scipys(values):
    sizes = {abs(value) for value in values}
    method = "exact" if len(sizes) == len(values) and 0 not in sizes else "asymptotic"
    expected = stats.wilcoxon(values, zero_method="zsplit", method=method).pvalue
    assert signed_rank(values) == pytest.approx(expected, rel=1e-9)


@given(
    st.lists(st.integers(0, 5000), min_size=6, max_size=30, unique=True),
    st.sampled_from([1 / 360, 1 / 1797, 100 / 360, 0.001, 3.0]),
)
def test_a_common_step_is_the_greatest_common_divisor(counts, step):
    expected = np.gcd.reduce(counts) * step
    assert common_step([n * step for n in counts]) == pytest.approx(expected, rel=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_losses_have_no_common_step(seed):
    values = np.random.default_rng(seed).lognormal(size=20)
    assert common_step(list(values)) < 1e-3 * values.max()


@pytest.mark.parametrize("values", [[], [0.1] * 9, [0.1, 0.2], [np.inf, 1.0, 2.0, 3.0, 4.0, 5.0]])
def test_no_step_is_read_from_too_few_values(values):
    assert common_step(values) == 0.0


def test_too_few_values_say_nothing():
    assert interval([1.0]) is None
    assert signed_rank([1.0] * 5) is None
    assert pooled_spread([[1.0], []]) is None
    assert difference({1: 2.0, 2: None}, {2: 1.0}) is None
    assert verdict(None, 0.0) == verdict(difference({1: 1.0}, {1: 9.0}), 0.0) == "tied"


@given(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]), min_size=6, max_size=12))
def test_the_signed_rank_test_does_not_depend_on_the_direction(values):
    p = signed_rank(values)
    assert 0 < p <= 1
    assert p == pytest.approx(signed_rank([-value for value in values]))


def test_six_pairs_of_one_sign_are_significant():
    assert signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == pytest.approx(2 / 64)
    assert signed_rank([0.0] * 6) == 1.0


@given(samples, st.integers(0, 2**16), st.floats(0, 2))
def test_a_tie_is_what_the_paired_test_cannot_tell_apart_from_the_tolerance(mine, seed, tolerance):
    noise = stats.norm.rvs(size=len(mine) + 1, random_state=seed)
    others = [value + noise[-1] + 0.3 * e for value, e in zip(mine, noise, strict=False)]
    low, high = stats.ttest_rel(mine, others).confidence_interval(0.95)
    found = difference(dict(enumerate(mine)), dict(enumerate(others)))
    expected = "better" if high < -tolerance else "worse" if low > tolerance else "tied"
    assert verdict(found, tolerance) == expected


def test_noise_is_tied_in_all_but_a_twentieth_of_cases():
    draws = np.random.default_rng(0).normal(size=(1000, 2, 5))
    found = [verdict(difference(dict(enumerate(a)), dict(enumerate(b))), 0.0) for a, b in draws]
    assert 0.92 < found.count("tied") / len(found) < 0.97


# The summary


def reported(winner, rival=(), baseline=(), chose=(), **fields):
    """Runs of trials 7 (winner), 8 (rival) and 0 (baseline) on the same seeds.

    `chose` are pairs of values of 7 and 8 on seeds before.
    """
    runs = [
        run(n, 90 + i, v) for i, pair in enumerate(chose) for n, v in zip((7, 8), pair, strict=True)
    ]
    for number, role, values in (
        (7, "winner", winner),
        (8, "rival", rival),
        (0, "baseline", baseline),
    ):
        runs += [run(number, i, v, REPORT, role, **fields) for i, v in enumerate(values)]
    return runs


def test_the_mean_is_of_the_reporting_runs_alone():
    runs = reported([1.0, 2.0, 4.0], chose=[(-100.0, -50.0), (-90.0, -60.0)])
    (winner,) = judged(runs, TRIALS, MINIMIZE)
    assert (winner.mean, winner.chose) == (pytest.approx(7 / 3), 0)
    assert winner.ci95 == interval([1.0, 2.0, 4.0])
    assert (winner.trial, winner.n, winner.failed) == (7, 3, 0)
    assert winner.recipe == TRIALS[7].recipe
    assert winner.metrics["mae"] == pytest.approx(7 / 3)


def test_of_few_runs_those_that_chose_are_reported_as_well():
    runs = reported([1.0, 4.0], chose=[(2.0, 3.0)])
    (winner,) = judged(runs, TRIALS, MINIMIZE)
    assert (winner.mean, winner.n, winner.chose) == (pytest.approx(7 / 3), 3, 1)
    assert winner.seeds == (90, 0, 1)
    low, high = interval([1.0, 2.0, 4.0])
    flattered = stdev([1.0, 2.0, 4.0]) / (3 * np.sqrt(np.pi))
    assert winner.ci95 == pytest.approx((low, high + flattered))
    (winner,) = judged(runs, TRIALS, MAXIMIZE)
    assert winner.ci95 == pytest.approx((low - flattered, high))


def test_the_better_of_two_equals_flatters_by_as_much_as_the_interval_says():
    draw = np.random.default_rng(0).normal(size=(20_000, 2, 2))
    better = draw.mean(axis=2).min(axis=1)  # two recipes on two seeds each
    assert -better.mean() == pytest.approx(np.sqrt(2 / np.pi) / 2, abs=0.01)


def test_the_interval_of_two_values_is_wider_than_students():
    (winner,) = judged(reported([1.0, 2.0]), TRIALS, MINIMIZE)
    low, high = interval([1.0, 2.0])
    assert winner.ci95 == pytest.approx((1.5 - 1.2 * (1.5 - low), 1.5 + 1.2 * (high - 1.5)))


def test_equal_errors_of_coarse_steps_are_not_certain():
    trials = {number: trial(k / 360) for number, k in enumerate((3, 5, 9, 14, 30, 31, 7, 8))}
    losses = {number: trial(np.sqrt(2 + number) / 100) for number in range(8)}
    (winner,) = judged(reported([8 / 360] * 4), losses, MINIMIZE)
    assert winner.ci95 == pytest.approx(interval([8 / 360] * 4))
    (winner,) = judged(reported([8 / 360] * 4), trials, MINIMIZE)
    low, high = winner.ci95
    assert high - low == pytest.approx(2 * 3.182 / 360 / np.sqrt(12) / 2, rel=1e-3)


def test_the_optimism_is_what_the_search_promised_too_much():
    (winner,) = judged(reported([1.0, 1.0]), TRIALS, MINIMIZE)
    assert winner.optimism == Optimism(search=0.5, gap=0.5, percent=50.0)
    (winner,) = judged(reported([0.4, 0.4]), TRIALS, MAXIMIZE)
    assert winner.optimism.percent == pytest.approx(25.0)
    cut_short = {**TRIALS, 7: trial(0.5, "pruned")}
    assert judged(reported([1.0, 1.0]), cut_short, MINIMIZE)[0].optimism is None


def test_a_constant_lead_is_no_tie_however_much_the_seeds_differ():
    winner = [1.0, 5.0, 9.0, 13.0]
    first, second = judged(reported(winner, baseline=[1.1, 5.11, 9.1, 13.09]), TRIALS, MINIMIZE)
    assert not first.tied
    assert not second.tied
    first, second = judged(reported(winner, baseline=[1.1, 4.8, 9.3, 12.9]), TRIALS, MINIMIZE)
    assert first.tied
    assert second.tied
    assert first.reasons.tied_with == (0,)


def test_a_lead_within_the_tolerance_is_a_tie():
    spec = tiny_spec(tolerance=0.2)
    first, *_ = judged(reported([1.0, 5.0, 9.0], [1.1, 5.11, 9.1]), TRIALS, spec)
    assert first.reasons.tied_with == (8,)


def test_a_seed_that_failed_is_left_out_of_mean_and_pairs():
    runs = reported([1.0, None, 3.0], baseline=[1.5, 2.5, None])
    winner, baseline = judged(runs, TRIALS, MINIMIZE)
    assert (winner.n, winner.failed, winner.mean) == (2, 1, 2.0)
    assert (baseline.n, baseline.failed, baseline.mean) == (2, 1, 2.0)
    assert baseline.difference.n == 1
    assert winner.tied  # one pair tells nothing


def test_a_recipe_that_failed_every_seed_is_not_confirmed():
    assert judged(reported([None, None]), TRIALS, MINIMIZE) == ()
    (only,) = judged(reported([None, None], [1.0, 2.0]), TRIALS, MINIMIZE)
    assert only.trial == 8
    assert only.reasons.why == "trial 7, which led the choice, failed on fresh seeds"


def test_a_finalist_that_failed_a_fresh_seed_gives_way_to_one_that_did_not():
    winner, rival = [1.0, 1.1, 1.2, None], [2.0, 2.1, 2.2, 2.3]
    first, second = judged(reported(winner, rival), TRIALS, MINIMIZE)
    assert (first.trial, second.trial, second.failed) == (8, 7, 1)
    assert first.reasons.why == "trial 7, which led the choice, failed on fresh seeds"
    alone = judged(reported(winner, baseline=[2.0, 2.1, 2.2, 2.3]), TRIALS, MINIMIZE)
    assert alone[0].trial == 7


def test_a_baseline_that_is_the_runner_up_is_compared_on_the_fresh_seeds():
    chose = [(0, 1.0, 1.2), (1, 1.1, 1.3)]
    runs = [run(n, 90 + i, v) for i, *pair in chose for n, v in zip((7, 0), pair, strict=True)]
    runs += reported([1.0, 2.0, 3.0], baseline=[1.5, 2.6, 3.5])
    first, baseline = judged(runs, TRIALS, MINIMIZE)
    assert (first.reasons.runner_up.trial, first.reasons.runner_up.round) == (0, "report")
    assert first.reasons.runner_up.difference == baseline.difference


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_nothing_is_reported_before_the_last_run_has_ended(state):
    runs = reported([1.0, 2.0])
    runs[1] = replace(runs[1], value=None, state=state)
    assert judged(runs, TRIALS, MINIMIZE) == ()
    assert judged([run(7, 1, 0.5)], TRIALS, MINIMIZE) == ()


def test_of_two_finalists_the_difference_is_paired_with_its_p():
    winner, rival = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.1, 2.2, 3.3, 4.4, 5.5, 6.6]
    first, second = judged(reported(winner, rival), TRIALS, MINIMIZE)
    assert (first.trial, second.role) == (7, "rival")
    found = second.difference
    assert found.mean == pytest.approx(0.35)
    assert found.p == pytest.approx(2 / 64)
    assert first.reasons.runner_up == RunnerUp(
        trial=8, round="report", tied=False, difference=found
    )
    assert "better than trial 8" in first.reasons.why


def test_without_a_rival_in_the_report_the_runner_up_is_that_of_the_choice():
    chose = [(1.0, 1.1), (2.0, 1.9), (3.0, 3.2)]
    (first,) = judged(reported([1.0, 2.0], chose=chose), TRIALS, MINIMIZE)
    assert (first.reasons.runner_up.trial, first.reasons.runner_up.round) == (8, "choose")
    assert first.reasons.tied_with == (8,)
    assert first.reasons.why == "the best of 2 candidates on the seeds used to choose"


NEAR, FAR = [(1.0, 1.1), (1.2, 1.1)], [(1.0, 1.5), (1.0, 1.6)]
EVEN = ([1.0, 2.0, 3.0], [1.2, 1.9, 3.0])


@pytest.mark.parametrize(
    ("chose", "basins", "seconds", "first", "why"),
    [
        (NEAR, {7: 0.5, 8: 1.25}, {}, 8, "wider range of learning rates (1.25 against 0.5"),
        (NEAR, {7: 1.25, 8: 0.5}, {}, 7, "wider range of learning rates (1.25 against 0.5"),
        (FAR, {7: 0.5, 8: 1.25}, {}, 7, "ahead of it on the seeds used to choose"),
        (NEAR, {7: 0.5, 8: None}, {8: 0.8}, 8, "cheaper (0.8 against 1 s a run)"),
        (NEAR, {7: 0.5, 8: 0.5}, {8: 0.95}, 7, "ahead of it"),
        (NEAR, {}, {7: 0.5}, 7, "cheaper (0.5 against 1 s a run)"),
    ],
    ids=["wider", "leader wider", "far behind", "cheaper", "hardly cheaper", "leader cheaper"],
)
def test_of_equals_the_more_robust_then_the_cheaper_is_recommended(
    chose, basins, seconds, first, why
):
    runs = [
        replace(run, seconds=seconds.get(run.number, 1.0)) for run in reported(*EVEN, chose=chose)
    ]
    found = judged(runs, TRIALS, MINIMIZE, basins)
    assert found[0].trial == first
    assert why in found[0].reasons.why
    assert [entry.tied for entry in found] == [True, True]


@pytest.mark.parametrize("number", [8, 0])
def test_whoever_beats_the_winner_on_fresh_seeds_is_recommended(number):
    winner, better = [2.0, 3.0, 4.0], [1.0, 2.1, 3.0]
    runs = reported(winner, better) if number == 8 else reported(winner, baseline=better)
    first, second = judged(runs, TRIALS, MINIMIZE)
    assert (first.trial, second.trial, second.tied) == (number, 7, False)
    worse = reported(better, winner) if number == 8 else reported(better, baseline=winner)
    assert judged(worse, TRIALS, MAXIMIZE)[0].trial == number


def test_the_test_set_speaks_for_the_recommended():
    test = {"val_loss": 0.7}
    runs = [*reported([1.0, 2.0]), run(7, 9, 1.0, "test", "winner", test=test)]
    assert judged(runs, TRIALS, MINIMIZE)[0].reasons.test == test


# Candidates


def rows(*losses):
    return [curve_record(val_loss=loss) for loss in losses]


def test_a_score_is_the_best_mean_of_three_validations():
    assert smoothed_score(rows(9, 1, 8, 2, 2, 2, 5), MINIMIZE) == 2
    assert smoothed_score(rows(4, 2), MINIMIZE) == 3
    assert smoothed_score(rows(float("inf"), None, 2), MINIMIZE) == 2
    assert smoothed_score(rows(None), MINIMIZE) is None
    last = tiny_spec(objective={"metric": "val_loss", "direction": "minimize", "at": "last"})
    assert smoothed_score(rows(0, 0, 0, 3, 4, 5), last) == 4


def test_a_lucky_validation_makes_no_candidate():
    lucky, steady = rows(9, 9, 0.1, 9), rows(2, 1, 1, 1)
    found = [
        Candidate(number=4, value=0.1, rows=lucky),
        Candidate(number=5, value=1.0, rows=steady),
        Candidate(number=6, value=0.5, rows=[]),
    ]
    assert ranked(found, MINIMIZE) == [6, 5, 4]


# The range of learning rates


def ladder(*losses, first=-4, step=0.25):
    return [LrTrial(lr=10 ** (first + step * i), loss=loss) for i, loss in enumerate(losses)]


def test_a_basin_ends_where_no_trial_does_well():
    trials = ladder(9, 9, 1, 1, 1, 1, 1, None, 1, 1)
    assert width(1e-3, trials, 1.5) == 5 * 0.25
    assert width(1e-3, [*trials, LrTrial(lr=10**-2.25, loss=1)], 1.5) == 8 * 0.25
    assert width(1e-3, trials, 0.5) == 0.25


def test_a_step_without_trials_is_crossed_and_two_are_not():
    near = ladder(1, 1, 1, 1, 1, 1, 1, 1)
    assert width(1e-4, [*near, LrTrial(lr=10**-1.75, loss=1)], 2) == 10 * 0.25
    assert width(1e-4, [*near, LrTrial(lr=10**-1.5, loss=1)], 2) == 8 * 0.25


def test_few_trials_give_no_width():
    assert width(1e-3, ladder(*[1.0] * 7), 2.0) is None


losses = st.lists(st.none() | st.floats(0, 10), min_size=8, max_size=25)


@given(losses, st.integers(0, 7), st.floats(0, 10), st.floats(0, 10))
def test_a_basin_grows_with_its_limit_and_with_better_trials(values, at, limit, more):
    trials, lr = ladder(*values), 10 ** (-4 + 0.25 * at)
    least = width(lr, trials, limit)
    assert 0.25 <= least <= 0.25 * len(values)
    assert least <= width(lr, trials, limit + more)
    good = [LrTrial(lr=trial.lr, loss=0.0) for trial in trials]
    assert width(lr, [*trials, *good], limit) == pytest.approx(0.25 * len(values))


@given(losses, st.floats(0.001, 1000))
def test_a_basin_does_not_depend_on_the_unit(values, factor):
    scaled = [LrTrial(lr=trial.lr * factor, loss=trial.loss) for trial in ladder(*values)]
    assert width(1e-3 * factor, scaled, 5.0) == width(1e-3, ladder(*values), 5.0)


def test_means_are_pooled_within_recipes():
    assert pooled_spread([[1.0, 3.0], [11.0, 13.0], [7.0]]) == pytest.approx(2**0.5)


def test_errors_of_few_samples_do_not_tell_equal_recipes_apart():
    """Coarse values are often alike by chance: two pairs that agree are no proof."""
    step = 1 / 360
    mine, others = {1: 14 * step, 2: 14 * step}, {1: 15 * step, 2: 15 * step}
    assert verdict(difference(mine, others), 0.0) == "better"
    assert verdict(difference(mine, others, step=step), 0.0) == "tied"
    draw = np.random.default_rng(0)
    wrong = 0
    for _ in range(500):
        a, b = (dict(enumerate(draw.binomial(360, 0.04, size=3) / 360)) for _ in range(2))
        wrong += verdict(difference(a, b, step=step), 0.0) != "tied"
    assert wrong <= 0.05 * 500
