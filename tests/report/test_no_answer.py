"""Why a study has no answer: what is said of trials that all diverged."""

import math
from dataclasses import replace

import pytest
from tiny_studies import ask, ended, make_study

from lrsearch.range_test.analysis import RangeTest, Spread
from lrsearch.report.load import load_report
from lrsearch.report.rows import OptimizerRangeTest
from lrsearch.report.summary import trial_rows
from lrsearch.report.text.result import answer
from lrsearch.storage.records import RangeTestRecord
from lrsearch.trial.divergence import NOT_FINITE_AT_START
from lrsearch.trial.states import TrialState


def finish(search, state, *, reason=None):
    assert search.tell(ask(search), ended(state, reason=reason))


def load(search):
    return load_report(search.database, search.name)


def diverging(database, lr, **changes):
    """Three trials of sgd at this lr and beyond, all diverged."""
    sgd = {"lr": [lr, 1.5 * lr, 2 * lr], "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    space = {"optimizers": {"sgd": sgd}, "schedules": {"constant": {}}, "warmup": 0.0}
    search = make_study(database, space=space, portfolio=0, **changes)
    for _ in range(3):
        finish(search, TrialState.DIVERGED, reason="training loss is not finite by step 4")
    return search


def test_all_diverged_without_a_range_test_names_the_lowest_rates(database):
    search = diverging(database, 0.5, range_test="none")
    line, *_ = answer(load(search)).lines
    assert "The lowest learning rate that was tried is 0.5 (sgd). Search lower" in line


@pytest.mark.parametrize(
    ("lr", "said"),
    [
        (0.5, "In the range test training explodes from 0.2 of sgd on, and no trial had a lower"),
        (
            0.15,
            "diverged, also below 0.2 of sgd, from where on training explodes",
        ),
    ],
)
def test_all_diverged_names_the_range_tests_edge(database, lr, said):
    report = load(diverging(database, lr, range_test="none"))
    edge = Spread(low=0.2, median=0.2, high=0.2)
    empty = dict.fromkeys(("min_over_10", "valley", "steepest", "window", "reason", "batch_size"))
    found = RangeTest(optimizer={"name": "sgd"}, ramps=(), edge=edge, **empty)
    record = RangeTestRecord(
        id=1,
        study_id=1,
        optimizer="sgd",
        seeds=1,
        epochs_reserved=1.0,
        state="complete",
        worker=None,
        attempt=1,
        result=found.to_dict(),
        reason=None,
        epochs=1.0,
        seconds=1.0,
        deaths=0,
    )
    row = OptimizerRangeTest.of(record)
    line, *_ = answer(replace(report, range_tests=(row,))).lines
    assert said in line


def test_a_loss_that_was_never_finite_is_not_the_learning_rates_fault(database):
    search = make_study(database)
    for _ in range(3):
        search.tell(ask(search), ended(TrialState.DIVERGED, start_loss=math.nan))
    line, *_ = answer(load(search)).lines
    assert "not finite on the first batch" in line
    assert "The learning rate is not the cause; look for NaN" in line
    assert {row["reason"] for row in trial_rows(search)} == {NOT_FINITE_AT_START}
