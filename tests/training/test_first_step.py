"""What the first look at a task lets pass, and what it finds that no file of wrong tasks shows."""

import pytest
import small
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from trained_together import make_spec

from lrsearch.errors import TaskError
from lrsearch.training.try_optimizers import try_optimizers
from lrsearch.training.try_task import try_task


def look(**changes):
    return try_task(small.make_task(**changes), make_spec(), small.CPU)


class Mixed(nn.Module):
    """A matrix that is no weight comes before its layer."""

    def __init__(self, matrix):
        super().__init__()
        self.layer = nn.Linear(small.FEATURES, small.CLASSES)
        self.register_buffer("matrix", matrix)

    def forward(self, inputs):
        return self.layer((self.matrix @ inputs.T).T)


@pytest.mark.parametrize("matrix", [torch.eye(6), torch.eye(6).to_sparse()])
def test_a_shared_buffer_that_is_only_read_is_accepted(matrix):
    assert look(model=lambda: Mixed(matrix)).warnings == ()


@pytest.mark.parametrize("matrix", [torch.eye(6), torch.eye(6).to_sparse()])
def test_a_shared_buffer_that_training_writes_to_is_not(matrix):
    class Forgetful(Mixed):
        def forward(self, inputs):
            output = super().forward(inputs)
            self.matrix.mul_(0.9)
            return output

    with pytest.raises(TaskError, match="share the buffer matrix, and training writes to it"):
        look(model=lambda: Forgetful(matrix))


@pytest.mark.parametrize("trained", [True, False])
def test_weights_that_are_parts_of_one_tensor_are_shared(trained):
    body = torch.zeros(2 * small.CLASSES, small.FEATURES)

    def make_model():
        model = nn.Sequential(nn.Linear(small.FEATURES, small.FEATURES), nn.Linear(6, 3))
        model[1].weight = nn.Parameter(body[small.CLASSES :], requires_grad=trained)
        return model

    with pytest.raises(TaskError, match=r"share the weights 1\.weight"):
        look(model=make_model)


def test_tied_weights_within_a_model_are_its_own():
    def make_model():
        first, second = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        second.weight = first.weight
        return nn.Sequential(first, second, nn.Linear(6, 3))

    assert look(model=make_model).warnings == ()


def test_two_halves_of_a_tensor_are_not_the_same_data():
    inputs, targets = small.make_tensors(64, seed=3)
    halves = {"train": (inputs[:32], targets[:32]), "validation": (inputs[32:], targets[32:])}
    assert look(**halves).warnings == ()
    (warning,) = look(**{**halves, "validation": (inputs[31:], targets[31:])}).warnings
    assert "samples in common" in warning


def test_infinite_inputs_that_leave_the_loss_finite_are_said():
    inputs, targets = small.make_tensors(64, seed=3)
    inputs[40, 0] = float("-inf")

    def masked(output, target):
        return cross_entropy(output.nan_to_num(0.0, posinf=0.0, neginf=0.0), target)

    def make_model():
        return nn.Linear(small.FEATURES, small.CLASSES)

    (warning,) = look(model=make_model, train=(inputs, targets), loss=masked).warnings
    assert "first at sample 40" in warning


@pytest.mark.parametrize("loss", [True, False])
def test_a_plain_number_says_what_it_counts_for(loss):
    def step(model, batch):
        return (model(batch[0]) - 1).square().sum(1).median()

    score = {} if loss else {"score": lambda model, batch: {"val_loss": step(model, batch)}}
    notes = look(loss=None, metrics={}, step=step, **score).notes
    assert len(notes) == 1
    assert f"{'step' if loss else 'score'}'s val_loss is a number" in notes[0]
    assert "128 samples" in notes[0]


@pytest.mark.parametrize("name", ["Kron", "SOAP"])
def test_an_optimizer_of_another_package_steps_on_real_gradients(name):
    pytest.importorskip("pytorch_optimizer")
    spec = make_spec(space={"optimizers": {f"pytorch_optimizer.{name}": {}}})
    frozen = small.make_task(
        model=lambda: nn.Sequential(nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 3))
    )
    try_optimizers(spec, frozen, small.CPU)
