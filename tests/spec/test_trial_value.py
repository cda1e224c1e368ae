"""What a trial is worth, and what a rung compares."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_studies import curve_row, tiny_spec

from lrsearch.spec.trial_value import best_validation, objective_value, signal

ACCURACY = {"metric": "accuracy", "direction": "maximize"}
values = st.none() | st.floats(allow_infinity=False)


def spec_of(objective="val_loss", **changes):
    return tiny_spec(objective=objective, **changes)


def rows_of(values):
    return [curve_row(i, metrics={"accuracy": value}) for i, value in enumerate(values, start=1)]


@given(st.lists(values, max_size=8), st.sampled_from(["minimize", "maximize"]))
def test_the_best_validation_is_the_first_that_none_is_better_than(values, direction):
    spec = spec_of({**ACCURACY, "direction": direction})
    best = best_validation(rows_of(values), spec)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    assert (best is None) == (not finite)
    if best is not None:
        most = min(finite) if direction == "minimize" else max(finite)
        assert best.validation == 1 + values.index(most)
        assert objective_value(best, spec) == most


@pytest.mark.parametrize(
    ("values", "last"), [([], None), ([0.9, 0.5], 2), ([0.9, None], None), ([0.9, math.nan], None)]
)
def test_at_last_it_is_the_last_one_if_that_has_a_value(values, last):
    best = best_validation(rows_of(values), spec_of({**ACCURACY, "at": "last"}))
    assert (best and best.validation) == last


@pytest.mark.parametrize(
    ("objective", "row", "expected"),
    [
        ("val_loss", {"val_loss": 2.0, "val_loss_ema": 1.0}, 1.0),
        ("val_loss", {"val_loss": 2.0, "val_loss_ema": None}, 2.0),
        ("val_loss", {"val_loss": None, "val_loss_ema": 3.0}, 3.0),
        ("calibrated_loss", {"metrics": {"calibrated_loss": 2.0}}, 2.0),
        (
            "calibrated_loss",
            {
                "val_loss_ema": 0.1,
                "metrics": {"calibrated_loss": 2.0},
                "metrics_ema": {"calibrated_loss": 1.5},
            },
            1.5,
        ),
        (ACCURACY, {"metrics": {"accuracy": 0.7}, "metrics_ema": {"accuracy": 0.8}}, -0.8),
        (ACCURACY, {"metrics": {"accuracy": 0.7}, "metrics_ema": {"accuracy": None}}, -0.7),
        (ACCURACY, {"metrics": {"accuracy": None}, "metrics_ema": None}, math.inf),
        (ACCURACY, {"metrics": {"accuracy": math.nan}, "metrics_ema": None}, math.inf),
    ],
)
def test_a_rung_compares_the_objective_of_the_better_weights(objective, row, expected):
    assert signal(curve_row(1, **row), spec_of(objective)) == expected
