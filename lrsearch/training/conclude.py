"""What follows a validation of a trial: what it has measured, and what the trial makes of it."""

import logging
import math
import time
from collections.abc import Mapping

from torch.nn.utils import get_total_norm

from lrsearch.recipe.plateau import Plateau
from lrsearch.training.evaluate import Evaluation
from lrsearch.training.trial_training import TrialTraining
from lrsearch.trial.curve import Measurement, Validation

log = logging.getLogger("lrsearch")


def conclude(training: TrialTraining, raw: Evaluation, averaged: Evaluation | None) -> Measurement:
    """The trial's next validation, of raw and averaged weights: a row of its curve if it is whole.

    A whole one steps a plateau schedule. One on a part of the set leaves training as it is, so that
    the weights do not depend on how often rungs look at them.
    """
    started, is_partial = time.monotonic(), training.is_partial_next
    deployed = averaged if averaged is not None and training.recipe.weights == "ema" else raw
    if not math.isfinite(raw.loss):
        training.diverged = f"validation loss is not finite at step {training.step}"
    elif not _weights_finite(training):
        training.diverged = f"weights are not finite at step {training.step}"
    elif isinstance(training.scheduler, Plateau) and not is_partial:
        training.scheduler.step(_followed(training, raw, deployed))
    _say_not_finite(training, deployed.metrics)
    training.validated += 1
    scores = Measurement(
        step=training.step,
        epoch=training.epochs,
        val_loss=raw.loss,
        val_loss_ema=None if averaged is None else averaged.loss,
        metrics=deployed.metrics,
        metrics_ema=None if averaged is None else averaged.metrics,
        seconds=training.seconds,
    )
    found = scores if is_partial else _row(training, scores)
    training.seconds += time.monotonic() - started
    return found


def _row(training: TrialTraining, scores: Measurement) -> Validation:
    """The row of the curve; its mean training loss is that of the steps since the last row."""
    train_loss = float(training.loss_sum) / max(1, training.loss_steps)
    training.loss_sum.zero_()
    training.loss_seen, training.loss_steps, training.steps_seen = 0.0, 0, 0
    return Validation(
        **vars(scores),
        validation=training.plan.row(training.validated),
        lr=training.lr,
        train_loss=train_loss,
        grad_norm=training.grad_norm,
    )


def _followed(training: TrialTraining, raw: Evaluation, deployed: Evaluation) -> float | None:
    """What a plateau schedule looks at; None where it was not measured."""
    if training.recipe.schedule.get("metric") != "objective":
        return raw.loss
    name = training.plan.objective
    return deployed.loss if name == "val_loss" else deployed.metrics.get(name)


def _say_not_finite(training: TrialTraining, metrics: Mapping[str, float]) -> None:
    """Log a metric that is no finite number, once for each trial."""
    for name, value in metrics.items():
        if not math.isfinite(value) and name not in training.not_finite:
            training.not_finite.add(name)
            log.warning("metric %s is %s in the validation at step %d", name, value, training.step)


def _weights_finite(training: TrialTraining) -> bool:
    if training.row is not None:
        return math.isfinite(float(training.row.weights.norm()))
    return math.isfinite(float(get_total_norm(p.detach() for p in training.parameters)))
