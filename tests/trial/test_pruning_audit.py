"""The draw of audited trials and the false-prune rate: pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from lrsearch.report.review import Audit
from lrsearch.report.text.review import audit_line
from lrsearch.trial.pruning_audit import (
    LEAST_AUDITED,
    LEAST_TRIALS,
    Audited,
    Rate,
    exact_interval,
    falsely_pruned,
    is_audited,
    rate,
    rates,
)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_so_many_are_drawn_as_the_share_says(share):
    drawn = [
        is_audited(seed=seed, ticket=ticket, planned=LEAST_TRIALS, share=share)
        for seed in range(20)
        for ticket in range(1, 201)
    ]
    assert binom.ppf(1e-4, len(drawn), share) <= sum(drawn) <= binom.ppf(1 - 1e-4, 4000, share)


@given(st.integers(0, 2**31), st.integers(1, 10**6), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_larger_share_keeps_who_was_drawn(seed, ticket, one, other):
    small, large = sorted((one, other))
    if is_audited(seed=seed, ticket=ticket, planned=LEAST_TRIALS, share=small):
        assert is_audited(seed=seed, ticket=ticket, planned=LEAST_TRIALS, share=large)
    assert not is_audited(seed=seed, ticket=ticket, planned=LEAST_TRIALS - 1, share=large)


def test_an_audited_trial_among_the_best_twentieth_was_stopped_wrongly():
    audited = [
        Audited(family="cosine", loss=0.3),
        Audited(family="cosine", loss=0.5),
        Audited(family="step", loss=None),
    ]
    complete = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    # Three places of 60 trials, and of 41; two of 40.
    wrong = [("cosine", True), ("cosine", False), ("step", False)]
    assert falsely_pruned(audited, losses=complete, started=60) == wrong
    assert falsely_pruned(audited, losses=complete, started=41) == wrong
    none = [(family, False) for family, _ in wrong]
    assert falsely_pruned(audited, losses=complete, started=40) == none


@given(st.lists(st.booleans(), max_size=80))
def test_an_interval_holds_its_rate_or_there_are_too_few(verdicts):
    found = rate(verdicts)
    assert (found.audited, found.false) == (len(verdicts), sum(verdicts))
    if len(verdicts) < LEAST_AUDITED:
        assert found.ci95 is found.share is None
        return
    low, high = found.ci95
    assert 0 <= low <= found.share <= high <= 1
    if low > 0:  # Clopper and Pearson: just so unlikely at its ends
        assert binom.sf(found.false - 1, found.audited, low) == pytest.approx(0.025, rel=1e-4)
    if high < 1:
        assert binom.cdf(found.false, found.audited, high) == pytest.approx(0.025, rel=1e-4)


def test_a_family_has_a_rate_once_it_has_enough():
    verdicts = [("cosine", i == 0) for i in range(LEAST_AUDITED)] + [("step", True)]
    overall, families = rates(verdicts)
    assert (overall.audited, overall.false) == (LEAST_AUDITED + 1, 2)
    assert families.keys() == {"cosine"}
    assert families["cosine"].share == 1 / LEAST_AUDITED


def audit(audited, false, ci95, studies=1):
    rate = Rate(audited=audited, false=false, ci95=ci95)
    return Audit(overall=rate, families={}, own=audited, studies=studies)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (audit(0, 0, None), None),
        (
            audit(1, 0, None),
            "Audit: 1 trial went on to the end although pruning would have stopped it. 0 ended "
            "among the best 5 %; at least 10 are needed to tell how often pruning errs.",
        ),
        (
            audit(20, 1, (0.00127, 0.2487), studies=3),
            "Audit: 20 trials, in 3 studies of the project, went on to the end although pruning "
            "would have stopped them. 1 ended among the best 5 %: pruning errs in 5 % (95 % "
            "interval 0.13 to 25 %).",
        ),
        (
            audit(20, 20, (0.83, 1.0)),
            "Audit: 20 trials went on to the end although pruning would have stopped them. 20 "
            "ended among the best 5 %: pruning errs in 100 % (95 % interval 83 to 100 %).",
        ),
    ],
    ids=["none", "few", "pooled", "all"],
)
def test_the_audit_in_words(found, line):
    assert audit_line(found) == line


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_exact_interval_is_scipys(counts):
    count, n = counts
    expected = binomtest(count, n).proportion_ci(0.95, method="exact")
    assert exact_interval(count, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
