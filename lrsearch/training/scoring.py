"""A trial's weights, raw or averaged, evaluated on its validation data or on the test set."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils._pytree import PyTree

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
        scores = _score(training, data, None)
    training.seconds += time.monotonic() - started
    return scores


def score_average(training: TrialTraining, *, with_ema: bool) -> Evaluation | None:
    """Evaluate the averaged weights on the validation data; None if nobody asks for them.

    With `with_ema`, and where the recipe deploys them, somebody does. Adds to the trial's seconds.
    """
    if training.ema is None or not (with_ema or training.recipe.weights == "ema"):
        return None
    started = time.monotonic()
    scores = _score(training, training.validation_data, training.ema.weights())
    training.seconds += time.monotonic() - started
    return scores


def score_test_set(training: TrialTraining, data: Data) -> Evaluation:
    """Evaluate the weights that would be deployed now. Adds to the trial's seconds."""
    if training.ema is None or training.recipe.weights != "ema":
        return score_raw(training, data)
    started = time.monotonic()
    scores = _score(training, data, training.ema.weights())
    training.seconds += time.monotonic() - started
    return scores


def _score(training: TrialTraining, data: Data, weights: Mapping[str, Tensor] | None) -> Evaluation:
    """Evaluate the model by itself, with these weights in place of its own if there are any."""
    model = training.model.eval()

    def outputs(inputs: PyTree) -> list[PyTree]:
        if weights is None:
            return [model(inputs)]
        return [torch.func.functional_call(model, dict(weights), (inputs,))]

    [scores] = evaluate(
        training.task, data, outputs, autocast=training.autocast, beat=training.beat
    )
    return scores
