"""Which models run the same operations in every step is read from their source."""

import importlib.util
from functools import partial

import pytest
import torch
from small import CLASSES
from static_models import CHANGING, COUNTS, WIDTH, Blocks, Plain
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from trained_together import no_dropout, with_dropout

from lrsearch.training.static_code import is_static


def scaled(output, target):
    return WIDTH * cross_entropy(output, target, label_smoothing=0.1)


def counting(output, target):
    COUNTS.append(1)
    return cross_entropy(output, target)


class Weighted(nn.Module):
    def forward(self, output, target):
        return cross_entropy(output, target) * (output.shape[1] if output.ndim == 2 else 1)


@pytest.mark.parametrize("make", [Plain, Blocks, no_dropout, with_dropout])
def test_models_of_tensors_alone_are_static(make):
    losses = [cross_entropy, nn.CrossEntropyLoss(), partial(cross_entropy, label_smoothing=0.1)]
    assert all(is_static(make(), loss) for loss in [*losses, scaled, mse_loss, Weighted()])


@pytest.mark.parametrize("make", CHANGING, ids=lambda make: make.__name__)
def test_models_with_a_state_of_their_own_are_not(make):
    assert not is_static(make(), cross_entropy)


def test_neither_are_losses():
    factor = 2.0
    assert not is_static(Plain(), counting)
    assert not is_static(Plain(), lambda output, target: factor * cross_entropy(output, target))
    assert not is_static(Plain(), partial(cross_entropy, weight=torch.ones(CLASSES)))


def test_a_file_that_was_edited_since_is_not_believed(tmp_path):
    file = tmp_path / "edited.py"
    file.write_text("def loss(output, target):\n    return (output - target).abs().mean() * 2.0\n")
    spec = importlib.util.spec_from_file_location("edited", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert is_static(Plain(), module.loss)
    file.write_text("def loss(output, target):\n    return (output - target).abs().mean() * 3.0\n")
    assert not is_static(Plain(), module.loss)
