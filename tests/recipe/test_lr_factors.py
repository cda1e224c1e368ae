"""The factors that pictures draw are those of the real torch schedulers, whatever a space gives."""

import subprocess
import sys
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD

from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.recipe.build_scheduler import build_schedule
from lrsearch.recipe.lr_factors import SHAPES, lr_factors

PEAK = 0.3
OPEN, FRACTION, FACTOR = st.floats(0.01, 0.95), st.floats(0.01, 1.0), st.floats(0.0, 1.0)
FIELDS = {
    "constant": {},
    "step": {"step_size": FRACTION, "gamma": OPEN},
    "multistep": {
        "milestones": st.lists(FRACTION, min_size=1, max_size=4, unique=True).map(sorted),
        "gamma": OPEN,
    },
    "exponential": {"final": OPEN},
    "cosine": {"eta_min": FACTOR},
    "cosine_restarts": {"T_0": FRACTION, "T_mult": st.integers(1, 3), "eta_min": FACTOR},
    "linear": {"end_factor": FACTOR},
    "polynomial": {"power": st.floats(0.2, 4.0)},
    "cyclic": {
        "base_factor": FACTOR,
        "step_size_up": st.floats(0.01, 0.5),
        "mode": st.sampled_from(["triangular", "triangular2"]),
    },
    "one_cycle": {
        "pct_start": OPEN,
        "div_factor": st.floats(1.0, 100.0),
        "final_div_factor": st.floats(1.0, 1e4),
        "cycle_momentum": st.booleans(),
    },
    "wsd": {"decay": FRACTION, "shape": st.sampled_from(["1-sqrt", "linear", "cosine"])},
    "rex": {"beta": st.floats(0.05, 10.0)},
    "inverse_sqrt": {"timescale": st.floats(0.01, 3.0)},
}


def stepped(schedule, *, total_steps, warmup):
    """The learning rate of each step, as torch's scheduler sets it."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK, momentum=0.9)
    lrs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR's own call of step with a number
        scheduler = build_schedule(
            optimizer, schedule, total_steps=total_steps, warmup=warmup, validations=1
        )
        for _ in range(total_steps):
            lrs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return lrs


def test_a_warm_up_in_steps_is_that_of_the_scheduler():
    wsd = {"name": "wsd", "decay": 0.3}
    factor = lr_factors(wsd, total_steps=40, warmup=0.0, warmup_steps=10)
    expected = stepped(wsd, total_steps=40, warmup=0.25)
    assert [PEAK * factor(step) for step in range(40)] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", SHAPES)
@given(data=st.data(), total_steps=st.integers(1, 90), warmup=st.floats(0.0, 0.95))
def test_each_step_has_the_learning_rate_that_torch_sets(name, data, total_steps, warmup):
    fields = {key: data.draw(values, label=key) for key, values in FIELDS[name].items()}
    schedule = {"name": name, **fields}
    warmup = 0.0 if SCHEDULES[name].no_warmup else warmup
    factor = lr_factors(schedule, total_steps=total_steps, warmup=warmup)
    found = [PEAK * factor(step) for step in range(total_steps)]
    expected = stepped(schedule, total_steps=total_steps, warmup=warmup)
    # torch's cosine goes on from its last value, and so collects errors of rounding.
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * PEAK)


@pytest.mark.parametrize("name", SHAPES)
def test_a_schedule_may_leave_out_its_fields(name):
    found = lr_factors({"name": name}, total_steps=24, warmup=0.0)
    expected = stepped({"name": name}, total_steps=24, warmup=0.0)
    assert [PEAK * found(step) for step in range(24)] == pytest.approx(expected, abs=1e-9)


def test_every_schedule_has_one_but_those_that_take_a_metric():
    assert set(SHAPES) == {name for name, info in SCHEDULES.items() if not info.needs_metric}
    assert set(FIELDS) == set(SHAPES)


def test_no_torch_is_loaded():
    code = "import sys, lrsearch.recipe.lr_factors; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
