"""A step that writes its gradients gives the losses, gradients and buffers of the model itself."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CPU, make_recipe, make_task
from static_models import Plain
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils._pytree import tree_leaves, tree_map
from trained_together import make_cohort

from lrsearch.training import recorded_step
from lrsearch.training.data.batches import leaves_of, map_tensors
from lrsearch.training.data.tensors import TensorData
from lrsearch.training.flat_weights import FlatWeights, Layout
from lrsearch.training.fused.stacked import Part, Stacked
from lrsearch.training.recorded_step import Recordings
from lrsearch.training.same_step import Again, Check, with_bits
from lrsearch.training.written_step import AsRecorded, WrittenStep

PLACES, BATCH = 3, 10
MODELS = {
    "relu": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5)),
    "tanh, one bias": lambda: nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Linear(8, 5)
    ),
    "sigmoid, wide": lambda: nn.Sequential(nn.Linear(6, 64), nn.Sigmoid(), nn.Linear(64, 5)),
    "norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)
    ),
}
LOSSES = {
    "cross entropy": cross_entropy,
    "smoothed": partial(cross_entropy, label_smoothing=0.1),
    "squares": mse_loss,
}


def rows(model, dtype=torch.float32):
    """Three different models as rows, and the part of all of them."""
    base = model().to(dtype)
    flat = FlatWeights(base, Layout.of(base), PLACES)
    for place in range(PLACES):
        flat.put(place, model().to(dtype))
    return base, flat, Part(flat, slice(0, PLACES))


def batch_of(loss, dtype=torch.float32):
    inputs = torch.randn(PLACES, BATCH, 6, dtype=dtype)
    if loss is mse_loss:
        return inputs, torch.randn(PLACES, BATCH, 5, dtype=dtype)
    return inputs, torch.randint(0, 5, (PLACES, BATCH))


def call(stacked, flat, part, batch, scales=None):
    """Losses, gradients and buffers of a step that begins with these buffers, which stay."""
    before = {name: value.clone() for name, value in part.others.items()}
    losses = stacked.gradients(part, batch, scales)
    given = [losses.clone(), flat.grads.clone(), *(v.clone() for v in part.others.values())]
    for name, value in before.items():
        part.others[name].copy_(value)
    return given


def written(recordings):
    (found,) = recordings._written.values()
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_written_step_gives_the_bits_of_the_model(model, loss, dtype):
    """On batches and weights that it has not been recorded with."""
    torch.manual_seed(0)
    base, flat, part = rows(model, dtype)
    task, recordings = make_task(model=model, loss=loss), Recordings()
    made = partial(Stacked, task, base.train(), draws=False, absent=lambda leaf, value: True)
    with recordings.at_once():
        call(made(recordings=recordings), flat, part, batch_of(loss, dtype))
    assert written(recordings) is not None
    for _ in range(3):
        flat.weights.normal_(0, 0.3)
        batch = batch_of(loss, dtype)
        fast = call(made(recordings=recordings), flat, part, batch)
        flat.grads.fill_(torch.nan)
        plain = call(made(), flat, part, batch)
        assert all(map(torch.equal, fast, plain))


def test_factors_of_losses_are_another_step():
    """1 for all is known beforehand; others are arguments."""
    torch.manual_seed(0)
    base, flat, part = rows(MODELS["relu"])
    recordings = Recordings()
    stacked = Stacked(make_task(model=MODELS["relu"]), base, draws=False, recordings=recordings)
    plain = Stacked(make_task(model=MODELS["relu"]), base, draws=False)
    batch = batch_of(cross_entropy)
    with recordings.at_once():
        for scales in (None, torch.tensor([1.0, 2.0, 4.0])):
            call(stacked, flat, part, batch, scales)
    for scales in (None, torch.tensor([8.0, 0.5, 3.0])):
        assert all(
            map(
                torch.equal,
                call(stacked, flat, part, batch, scales),
                call(plain, flat, part, batch, scales),
            )
        )


def test_a_mask_is_left_out_only_for_data_in_which_nothing_is_ignored():
    torch.manual_seed(0)
    base, flat, part = rows(MODELS["relu"])
    recordings = Recordings()
    task = make_task(model=MODELS["relu"])
    whole, gaps = batch_of(cross_entropy), batch_of(cross_entropy)
    gaps[1][:, ::3] = -100
    made = partial(Stacked, task, base, draws=False)
    stacked = {
        name: made(recordings=recordings, absent=data.absent)
        for name, data in (
            ("whole", TensorData(whole, 2, CPU)),
            ("gaps", TensorData(gaps, 2, CPU)),
        )
    }
    with recordings.at_once():
        call(stacked["whole"], flat, part, whole)
    assert written(recordings).assumed == {(1, -100)}
    assert all(
        map(torch.equal, call(stacked["gaps"], flat, part, gaps), call(made(), flat, part, gaps))
    )
    other = Recordings()
    careful = made(recordings=other, absent=TensorData(gaps, 2, CPU).absent)
    with other.at_once():
        call(careful, flat, part, whole)
    assert written(other).assumed == frozenset()
    assert all(map(torch.equal, call(careful, flat, part, gaps), call(made(), flat, part, gaps)))


@pytest.mark.parametrize("fault", ["bits", "raises"])
def test_a_step_with_other_bits_is_dropped(fault, monkeypatch):
    real = recorded_step.written_step

    def faulty(*args, **kwargs):
        step = real(*args, **kwargs)
        if fault == "raises":
            raise RuntimeError("no such pattern")
        return replace(step, run=lambda *arguments: step.run(*arguments) * (1 + 1e-6))

    monkeypatch.setattr(recorded_step, "written_step", faulty)
    torch.manual_seed(0)
    base, flat, part = rows(MODELS["norm"])
    recordings, task = Recordings(), make_task(model=MODELS["norm"])
    stacked = Stacked(task, base.train(), draws=False, recordings=recordings)
    plain = Stacked(task, base, draws=False)
    batch = batch_of(cross_entropy)
    with recordings.at_once():
        for _ in range(3):
            fast, wanted = (call(one, flat, part, batch) for one in (stacked, plain))
            assert all(map(torch.equal, fast, wanted))
    assert written(recordings) is None


def test_only_the_gradient_that_differs_stays_as_it_was_recorded():
    tried = []

    def make(as_recorded):
        tried.append(as_recorded)

        def run(weights, factors, first, second):
            first.copy_(weights)
            second.copy_(weights + (0 if 1 in as_recorded.gradients else 1e-6))
            return weights.sum(1)

        return WrittenStep(run=run, assumed=frozenset())

    def function(weights, buffers, batch, factors):
        return weights[0].sum(1), [weights[0], weights[0]]

    arguments = ([torch.ones(2, 3)], {}, (), torch.ones(2))
    into = [torch.zeros(2, 3), torch.zeros(2, 3)]
    assert with_bits(make, Check(function, arguments, into, 1, Again(arguments))) is not None
    assert tried == [AsRecorded(), AsRecorded(gradients=frozenset({1}))]


def test_a_cohort_trains_by_the_written_step(monkeypatch):
    monkeypatch.setattr(recorded_step, "RECORD_AFTER", 2)
    recipe = make_recipe(optimizer={"name": "adamw", "lr": 0.01})
    cohort = make_cohort(2, make_task(model=Plain), recipe)
    for seed in (1, 2):
        cohort.admit(recipe.model_copy(update={"seed": seed}))
    cohort.advance(2)
    step = written(cohort.program.recordings)
    assert step is not None
    assert step.assumed == {(1, -100)}


@given(
    values=st.lists(st.integers(-101, -99), min_size=1, max_size=5),
    value=st.integers(-101, -99),
)
def test_absent_is_what_a_search_says(values, value):
    data = TensorData((torch.zeros(len(values)), torch.tensor(values)), 1, CPU)
    assert data.absent(1, value) is (value not in values)


LEAVES = st.builds(lambda n: torch.arange(n), st.integers(1, 3)) | st.none() | st.integers(0, 2)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(tree=TREES)
@settings(max_examples=50)
def test_batches_are_gone_through_as_torch_does(tree):
    def double(x):
        return x * 2 if isinstance(x, torch.Tensor) else x

    assert list(map(str, leaves_of(tree))) == list(map(str, tree_leaves(tree)))
    assert str(map_tensors(lambda x: x * 2, tree)) == str(tree_map(double, tree))
