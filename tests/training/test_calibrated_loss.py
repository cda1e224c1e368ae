"""The calibrated loss: cross-entropy at the temperature that suits the set best."""

import math
from functools import partial

import pytest
import small
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import Subset
from trained_together import alone, drive, make_cohort, make_spec

from lrsearch.errors import SpecError, TaskError
from lrsearch.preflight.task import check_objective
from lrsearch.training.calibrated_loss import AT_ONCE, NODES, CalibratedLoss
from lrsearch.training.try_task import try_task

CALIBRATED = {"objective": "calibrated_loss"}


def pooled(metric, *batches):
    pool = metric.pool()
    for output, target in batches:
        pool.add(output, target, len(target))
    return pool.value()


def searched(loss, output, target):
    """The smallest loss over all temperatures, by looking for it."""
    logits = output.double()

    def at(log_inverse):
        return float(loss(logits * math.exp(log_inverse), target))

    low, high = math.log(NODES[0]), math.log(NODES[-1])
    grid = [low + (high - low) * i / 200 for i in range(201)]
    best = min(range(201), key=lambda i: at(grid[i]))
    ends = grid[max(0, best - 1)], grid[min(200, best + 1)]
    found = minimize_scalar(at, bounds=ends, method="bounded", options={"xatol": 1e-9})
    return min(found.fun, at(ends[0]), at(ends[1]))


@st.composite
def batches(draw):
    """Logits of any scale, and classes that they tell something of."""
    samples, classes = draw(st.integers(2, 200)), draw(st.integers(2, 20))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    logits = torch.randn(samples, classes, generator=generator)
    noise = torch.randn(samples, classes, generator=generator)
    target = (draw(st.floats(-1, 3)) * logits + noise).argmax(1)
    return logits * 10 ** draw(st.floats(-2, 2)), target


@settings(max_examples=60, deadline=None)
@given(batches(), st.integers(1, 199))
def test_it_is_the_smallest_cross_entropy_over_all_temperatures(batch, cut):
    logits, target = batch
    parts = [(logits[:cut], target[:cut]), (logits[cut:], target[cut:])]
    found = pooled(CalibratedLoss(), *(part for part in parts if len(part[1])))
    assert found == pytest.approx(searched(cross_entropy, logits, target), rel=2e-6, abs=1e-9)
    assert found <= cross_entropy(logits.double(), target) * (1 + 1e-6)
    assert found == pytest.approx(float(CalibratedLoss()(logits, target)), rel=1e-5)


WEIGHT = torch.tensor([1.0, 2.0, 0.5, 3.0])
LOSSES = {
    "function": (cross_entropy, cross_entropy),
    "module": (nn.CrossEntropyLoss(ignore_index=2), partial(cross_entropy, ignore_index=2)),
    "smoothed": (partial(cross_entropy, label_smoothing=0.1), cross_entropy),
    "weighted": (
        nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.2),
        lambda output, target: cross_entropy(output, target, weight=WEIGHT.to(output)),
    ),
}


@pytest.mark.parametrize("form", LOSSES)
@pytest.mark.parametrize("shape", [(40,), (8, 5), (2, 4, 5)], ids=str)
def test_class_weights_and_ignored_classes_count_and_smoothing_does_not(form, shape):
    loss, plain = LOSSES[form]
    torch.manual_seed(1)
    output = 3 * torch.randn(shape[0], 4, *shape[1:])
    target = (output + 3 * torch.randn_like(output)).argmax(1)
    expected = searched(plain, output, target)
    assert pooled(CalibratedLoss.of(loss), (output, target)) == pytest.approx(expected, rel=2e-6)


def test_classes_may_be_last_and_a_logit_minus_infinity():
    torch.manual_seed(2)
    output = torch.randn(6, 7, 5)
    output[..., 4] = -math.inf
    target = torch.randint(0, 4, (6, 7))
    rows = (output.flatten(0, 1), target.flatten())
    assert pooled(CalibratedLoss(), (output, target)) == pooled(CalibratedLoss(), rows)
    assert pooled(CalibratedLoss(), rows) == pytest.approx(searched(cross_entropy, *rows), rel=2e-6)


def test_a_vocabulary_is_added_up_in_parts():
    torch.manual_seed(3)
    classes = AT_ONCE // len(NODES)
    output, target = torch.randn(3, classes, dtype=torch.bfloat16), torch.tensor([1, 2, 3])
    expected = searched(cross_entropy, output, target)
    assert pooled(CalibratedLoss(), (output, target)) == pytest.approx(expected, rel=1e-5)


def test_a_set_that_is_sorted_without_error_has_a_loss_above_none():
    logits, target = torch.eye(3), torch.arange(3)
    assert 0 <= pooled(CalibratedLoss(), (logits, target)) < 1e-20
    assert math.isnan(pooled(CalibratedLoss(), (logits * math.nan, target)))
    assert math.isnan(pooled(CalibratedLoss(ignore_index=1), (logits, torch.ones(3).long())))


# In training


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_validations_have_it_where_the_study_asks_for_it(precision):
    recipe = small.make_recipe(precision=precision)
    task = small.make_task(model=lambda: nn.Linear(small.FEATURES, small.CLASSES))
    [(training, rows)] = alone([recipe], task, **CALIBRATED)
    [(_, without)] = alone([recipe], task)
    assert [row.val_loss for row in rows] == [row.val_loss for row in without]
    assert all(row.metrics.keys() == {"accuracy"} for row in without)
    model, last = training.model.eval(), rows[-1]
    for weights, metrics in ((None, last.metrics), (training.ema.weights(), last.metrics_ema)):
        with torch.no_grad(), training.autocast():
            output = torch.func.functional_call(model, weights or {}, small.VALIDATION[0])
        target = small.VALIDATION[1]
        expected = searched(cross_entropy, output, target)
        assert metrics["calibrated_loss"] == pytest.approx(expected, rel=1e-5)
    assert last.metrics_ema["calibrated_loss"] < last.val_loss_ema


def test_it_is_the_same_in_a_cohort_to_rounding():
    recipes = [
        small.make_recipe(optimizer={"name": "sgd", "lr": lr}, seed=3) for lr in (0.02, 0.1, 0.3)
    ]
    together = drive(make_cohort(3, **CALIBRATED), recipes)
    for (_, mine), (_, other) in zip(together, alone(recipes, **CALIBRATED), strict=True):
        for row, expected in zip(mine, other, strict=True):
            for one, same in ((row.metrics, expected.metrics),) + (
                ((row.metrics_ema, expected.metrics_ema),) if expected.metrics_ema else ()
            ):
                assert one["calibrated_loss"] == pytest.approx(same["calibrated_loss"], rel=1e-4)


# What it is refused for


def closure(output, target):
    return cross_entropy(output, target, label_smoothing=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": closure}, "the loss of a batch is"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, "shape"),
        (
            {
                "model": lambda: nn.Linear(small.FEATURES, 1),
                "train": (small.TRAIN[0], small.TRAIN[0][:, :1]),
                "validation": (small.VALIDATION[0], small.VALIDATION[0][:, :1]),
                "loss": mse_loss,
                "metrics": {},
            },
            "the targets are float32 [128, 1]",
        ),
    ],
    ids=["smoothed in a function", "no mean", "regression"],
)
def test_a_loss_that_is_no_cross_entropy_is_refused(changes, words):
    with pytest.raises(TaskError) as refused:
        try_task(small.make_task(**changes), make_spec(**CALIBRATED), small.CPU)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_cross_entropy_of_ones_own_is_accepted_and_another_name_asked_for():
    def own(output, target):
        return -output.log_softmax(1).gather(1, target[:, None]).mean()

    check_objective(make_spec(**CALIBRATED), small.make_task())
    assert try_task(small.make_task(loss=own), make_spec(**CALIBRATED), small.CPU)
    taken = small.make_task(metrics={"calibrated_loss": small.accuracy})
    with pytest.raises(TaskError, match="give yours another name"):
        try_task(taken, make_spec(), small.CPU)
    with pytest.raises(SpecError, match="did you mean 'calibrated_loss'"):
        check_objective(
            make_spec(objective={"metric": "calibrated_los", "direction": "minimize"}),
            small.make_task(),
        )


def test_a_loss_that_raises_on_validation_data_is_said_in_one_line():
    inputs, targets = small.make_tensors(16, seed=2)
    rows = Subset(list(zip(inputs, targets + 99, strict=True)), range(16))
    task = small.make_task(
        validation=rows, loss=lambda output, target: cross_entropy(output, target)
    )
    with pytest.raises(TaskError, match="the loss on validation data raised IndexError"):
        try_task(task, make_spec(**CALIBRATED), small.CPU)
