"""A trial's weights, raw or averaged, evaluated on its validation data or on the test set."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.training.data import Data
from lrsearch.training.evaluate import Evaluation, evaluate
from lrsearch.training.trial_training import TrialTraining


@contextmanager
def deployed_weights(training: TrialTraining) -> Iterator[None]:
    """Let the model have the weights that its optimizer deploys, for a while.

    They differ from those in training where the optimizer averages by itself (schedule-free ones).
    """
    switches = optimizer_info(training.recipe.optimizer_name, "optimizer").switches
    if switches:
        training.optimizer.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if switches:
            training.optimizer.train()  # type: ignore[attr-defined]


def score_raw(training: TrialTraining, data: Data) -> Evaluation:
    """Evaluate the weights as they are trained. Adds to the trial's seconds."""
    started = time.monotonic()
    with deployed_weights(training):
        scores = _score(training, data, averaged=False)
    training.seconds += time.monotonic() - started
    return scores


def score_average(training: TrialTraining, *, with_ema: bool) -> Evaluation | None:
    """Evaluate the averaged weights on the data that are due. Adds to the trial's seconds.

    None if there are none, or if neither `with_ema` nor the recipe, which may deploy them, asks.
    """
    if training.ema is None or not is_average_scored(training, with_ema=with_ema):
        return None
    started = time.monotonic()
    scores = _score(training, training.data_due, averaged=True)
    training.seconds += time.monotonic() - started
    return scores


def is_average_scored(training: TrialTraining, *, with_ema: bool) -> bool:
    """Whether a validation measures the averaged weights: where asked, or if they are deployed."""
    return training.ema is not None and (with_ema or training.recipe.weights == "ema")


def score_test_set(training: TrialTraining, data: Data) -> Evaluation:
    """Evaluate the weights that would be deployed now. Adds to the trial's seconds."""
    if training.ema is None or training.recipe.weights != "ema":
        return score_raw(training, data)
    started = time.monotonic()
    scores = _score(training, data, averaged=True)
    training.seconds += time.monotonic() - started
    return scores


def _score(training: TrialTraining, data: Data, *, averaged: bool) -> Evaluation:
    """Evaluate the model by itself, with the weights in training or with their average."""
    [scores] = evaluate(
        training.task,
        data,
        training.evaluated(averaged=averaged),
        autocast=training.autocast,
        beat=training.beat,
        device=training.device,
    )
    return scores
