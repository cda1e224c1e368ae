"""A validation's loss and metrics are those of the whole set, however it is cut into batches."""

import math
from functools import partial

import pytest
import small
import torch
import torchmetrics
from sklearn.metrics import f1_score, log_loss, r2_score, roc_auc_score
from small import CPU, VALIDATION, make_recipe, make_task, make_training
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.data import DataLoader, TensorDataset

import lrsearch
from lrsearch.errors import TaskError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.data import make_data
from lrsearch.training.ema import averaged_buffers
from lrsearch.training.evaluate import evaluate
from lrsearch.training.one_model import OneModel
from lrsearch.training.precision import autocast
from lrsearch.training.try_task import try_task

WEIGHTS = torch.tensor([0.05, 1.0, 20.0])
LABELS = VALIDATION[1].clone()
LABELS[:40] = -100  # the first batches have no valid label at all


def values(task, size, model=None):
    """Loss and metrics of a validation in batches of this size."""
    dataset = TensorDataset(*task.validation)
    data = make_data(lambda: DataLoader(dataset, batch_size=size), size, CPU, "validation")
    torch.manual_seed(0)
    model = model or task.model()
    [found] = evaluate(
        task,
        data,
        OneModel(model),
        autocast=lambda: autocast("fp32", CPU),
        beat=lambda: None,
        device=CPU,
    )
    return found


def weighted(output, target):
    """As people write it."""
    return F.cross_entropy(output, target, weight=WEIGHTS)


def masked_mean(output, target):
    losses = F.cross_entropy(output, target, reduction="none", ignore_index=-100)
    mask = (target != -100).float()
    return (losses * mask).sum() / mask.sum()


def divided_by(kept_from_zero):
    """As people write it who mean to divide by no zero."""

    def loss(output, target):
        total = F.cross_entropy(output, target, reduction="sum")
        return total / kept_from_zero((target != -100).sum())

    return loss


def as_floats(loss):
    return lambda output, target: loss(output, F.one_hot(target.clamp(0), 3).float())


LOSSES = {
    "cross_entropy": F.cross_entropy,
    "weights": nn.CrossEntropyLoss(weight=WEIGHTS),
    "a function with weights": weighted,
    "smoothing and weights": partial(F.cross_entropy, weight=WEIGHTS, label_smoothing=0.1),
    "nll": lambda output, target: F.nll_loss(output.log_softmax(1), target, weight=WEIGHTS),
    "a mask by hand": masked_mean,
    "a count clamped": divided_by(lambda count: count.clamp(min=1)),
    "a count and a little": divided_by(lambda count: count + 1e-8),
    "mse": as_floats(F.mse_loss),
    "smooth l1": as_floats(nn.SmoothL1Loss()),
    "bce": as_floats(nn.BCEWithLogitsLoss(pos_weight=WEIGHTS)),
    "scaled and added": lambda o, t: 2 * weighted(o, t) + 0.1,
}


@pytest.mark.parametrize("labels", ["all", "some"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_does_not_depend_on_the_batch_size(name, labels):
    targets = VALIDATION[1] if labels == "all" else LABELS
    loss = LOSSES[name]
    task = make_task(loss=loss, metrics={}, validation=(VALIDATION[0], targets))
    torch.manual_seed(0)
    model = task.model().eval()
    with torch.no_grad():
        expected = float(loss(model(VALIDATION[0]), targets))
    for size in (1, 7, 16, 150):
        assert values(task, size, model).loss == pytest.approx(expected, rel=1e-5), size


def test_time_major_targets_weigh_by_samples():
    """The last batch has fewer sequences, and as many times."""
    outputs = torch.randn(5, 9, 3)
    task = make_task(
        model=lambda: nn.Identity(),
        loss=lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()).exp().log(),
        metrics={"plain": lambda o, t: (o.argmax(-1) == t).float().mean().sqrt() ** 2},
    )
    targets = torch.randint(0, 3, (5, 9))

    class Data:
        def validation(self):
            for part in (slice(0, 4), slice(4, 8), slice(8, 9)):
                yield outputs[:, part], targets[:, part]

    [found] = evaluate(
        task,
        Data(),
        OneModel(nn.Identity()),
        autocast=lambda: autocast("fp32", CPU),
        beat=lambda: None,
        device=CPU,
    )
    assert found.loss == pytest.approx(
        float(F.cross_entropy(outputs.flatten(0, 1), targets.flatten()))
    )
    right = (outputs.argmax(-1) == targets).float().mean()
    assert found.metrics["plain"] == pytest.approx(float(right))


def logits():
    task = make_task()
    torch.manual_seed(0)
    with torch.no_grad():
        return task, task.model().eval()(VALIDATION[0])


def test_metrics_over_the_whole_set_see_all_outputs_and_targets():
    task, output = logits()
    target, shares = VALIDATION[1], output.softmax(1)

    def spread(outputs, targets):
        return outputs.std() + targets.float().mean()

    metrics = {
        "f1": partial(f1_score, average="macro"),
        "f1_pooled": lrsearch.pooled(f1_score, average="macro"),
        "auc": lrsearch.pooled(roc_auc_score, multi_class="ovr"),
        "log_loss": log_loss,
        "spread": lrsearch.pooled(spread),
    }
    task = make_task(metrics=metrics)
    for size in (7, 150):
        found = values(task, size).metrics
        expected = f1_score(target, output.argmax(1), average="macro")
        assert found["f1"] == found["f1_pooled"] == pytest.approx(expected)
        assert found["auc"] == pytest.approx(roc_auc_score(target, shares, multi_class="ovr"))
        assert found["log_loss"] == pytest.approx(log_loss(target, shares), rel=1e-5)
        assert found["spread"] == pytest.approx(float(spread(output, target)))


def test_a_regression_metric_gets_the_outputs():
    inputs = VALIDATION[0]
    task = make_task(
        model=lambda: nn.Linear(6, 1),
        validation=(inputs, inputs[:, :1] * 2),
        loss=F.mse_loss,
        metrics={"r2": r2_score},
    )
    torch.manual_seed(0)
    model = task.model()
    expected = r2_score(inputs[:, :1] * 2, model(inputs).detach())
    assert values(task, 7, model).metrics["r2"] == pytest.approx(expected, rel=1e-5)


def test_a_metric_of_torchmetrics_starts_anew_in_each_validation():
    metric = torchmetrics.classification.MulticlassF1Score(num_classes=3, average="macro")
    _, output = logits()
    expected = float(metric(output, VALIDATION[1]))
    task = make_task(metrics={"f1": metric})
    for size in (7, 150, 7):
        assert values(task, size).metrics["f1"] == pytest.approx(expected)


def test_what_a_pooled_metric_keeps_is_bounded():
    metric = lrsearch.pooled(lambda o, t: o.mean(), most_bytes=1000)
    with pytest.raises(TaskError, match="more than 1,000 bytes; set validation_batches"):
        values(make_task(metrics={"mean": metric}), 16)


def test_a_metric_that_is_nan_in_a_batch_is_the_mean_of_the_others(caplog):
    def metric(output, target):
        return torch.tensor(math.nan if (target == 0).all() else 0.5)

    targets = VALIDATION[1].clone()
    targets[:16] = 0
    task = make_task(metrics={"half": metric}, validation=(VALIDATION[0], targets))
    assert values(task, 16).metrics["half"] == 0.5
    assert "metric half is NaN in 1 of 10 validation batches" in caplog.text


def test_a_metric_that_is_not_finite_is_said_where_it_happened(caplog):
    task = make_task(metrics={"lost": lambda o, t: torch.tensor(math.inf)})
    small.run(make_training(task=task))
    assert caplog.text.count("metric lost is inf in the validation at step 6") == 1


def check(task):
    spec = StudySpec.from_dict(
        {"name": "pool", "task": "pool.py:task", "epochs": 1, "budget": {"trials": 2}}
    )
    return try_task(task, spec, CPU).warnings


def batch_f1(output, target):
    return f1_score(target, output.argmax(1), average="macro")


def test_check_names_the_metric_that_depends_on_the_batch_size():
    [warning] = check(make_task(metrics={"accuracy": small.accuracy, "f1": batch_f1}))
    assert warning.startswith("f1 depends on the batch size: 0.")
    assert "write lrsearch.pooled(f1)" in warning


def test_check_is_silent_about_what_does_not_depend_on_it():
    metrics = {"accuracy": small.accuracy, "f1": lrsearch.pooled(batch_f1)}
    assert check(make_task(metrics=metrics, loss=weighted)) == ()
    noisy = make_task(loss=None, metrics={}, step=noisy_step)
    assert check(noisy) == ()


def noisy_step(model, batch):
    """Draws in evaluation: another number for another batch is no dependence."""
    return F.cross_entropy(model(batch[0] + torch.randn_like(batch[0])), batch[1])


def test_check_names_a_step_whose_loss_depends_on_the_batch_size():
    def step(model, batch):
        output = model(batch[0])
        return F.cross_entropy(output, batch[1]) + output.std(0).mean() * 0.1 * len(batch[0])

    [warning] = check(make_task(loss=None, metrics={}, step=step))
    assert warning.startswith("val_loss depends on the batch size")


class Buffered(nn.Module):
    """Buffers of every sort."""

    def __init__(self):
        super().__init__()
        self.layer = spectral_norm(nn.Linear(6, 6))
        self.norm, self.out = nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.register_buffer("adjacency", torch.eye(6).to_sparse())
        self.register_buffer("codebook", torch.randn(4, 6))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.calls += 1
        return self.out(self.norm(torch.sparse.mm(self.adjacency, self.layer(x).T).T))


def test_the_average_takes_statistics_and_copies_other_buffers():
    task = make_task(model=Buffered)
    training = make_training(task=task)
    rows = small.run(training)
    averaged, live = training.ema.weights(), dict(training.model.named_buffers())
    assert averaged_buffers(training.model, None) == ["norm.running_mean", "norm.running_var"]
    for name in ("codebook", "calls", "layer.parametrizations.weight.0._u"):
        assert averaged[name] is live[name]
    assert not torch.equal(averaged["norm.running_mean"], live["norm.running_mean"])
    assert all(row.val_loss_ema < 2 for row in rows)


def test_a_task_may_name_what_is_averaged():
    training = make_training(make_recipe(), make_task(model=Buffered, averaged_buffers=["code*"]))
    small.run(training)
    live = dict(training.model.named_buffers())
    weights = training.ema.weights()
    assert weights["codebook"] is not live["codebook"]
    assert weights["norm.running_mean"] is live["norm.running_mean"]
    with pytest.raises(TaskError, match="'spam', which matches no buffer"):
        make_training(make_recipe(), make_task(model=Buffered, averaged_buffers=["spam"]))
    with pytest.raises(TaskError, match="adjacency, but a buffer of sparse_coo float32"):
        make_training(make_recipe(), make_task(model=Buffered, averaged_buffers=["adj*"]))
