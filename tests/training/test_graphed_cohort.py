"""The graphed cohort: its trials equal the same trials alone, and its step is device work alone."""

import gc
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from cpu_graph import CpuGraph, Noted
from small import BATCH_SIZE, TRAIN, make_task
from test_cohort import FUSED, KINDS, close, recipe_of
from test_exactness import SCHEDULES, WARMUP
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Subset, TensorDataset, default_collate
from trained_together import (
    alone,
    doubled,
    drive,
    make_cache,
    make_spec,
    no_dropout,
    same,
    with_dropout,
)

from lrsearch.training import flat_weights
from lrsearch.training.data.tensors import TensorData
from lrsearch.training.flat_weights import FlatWeights
from lrsearch.training.fused.program import Program
from lrsearch.training.graphed import capture
from lrsearch.training.graphed.buffers import Order
from lrsearch.training.graphed.cohort import GraphedCohort, NotGraphedError
from lrsearch.training.graphed.rows import Kept
from lrsearch.training.graphed.step import Step
from lrsearch.training.graphed.updates import MOST_KEPT
from lrsearch.training.pooling import means

#: Optimizers of torch that look at shapes, so that rows have no rule for them.
SHAPED = ("adafactor", "muon")
RULED = [kind for kind in KINDS if not kind.startswith(SHAPED)]

#: What is unlike all others: nothing changes, a validation does it, momentum moves, lr goes up.
QUICK = ("constant", "plateau", "one_cycle with momentum", "cosine_restarts")


@pytest.fixture
def float64():
    """NAdam keeps a coefficient in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_graphed(size, task, recipe, **spec):
    return GraphedCohort(make_spec(epochs=recipe.epochs, **spec), make_cache(task), recipe, size)


def recipes_of(schedule, epochs):
    recipes = [
        recipe_of(
            name,
            schedule,
            warmup=WARMUP * (i // 2 % 2),
            clip_norm=0.5 if i % 2 else None,
            epochs=epochs,
        )
        for i, name in enumerate(RULED)
    ]
    recipes.append(recipe_of("adamw", schedule, optimizer=FUSED, epochs=epochs))
    if schedule == "constant":
        recipes.append(recipe_of("rprop", schedule, epochs=epochs))
    return recipes


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "schedule",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in SCHEDULES],
)
def test_every_optimizer_with_every_schedule_equals_itself_alone(schedule):
    recipes = recipes_of(schedule, epochs=6)
    often = {} if schedule == "plateau" else {"validate_every": {"fraction": 0.25}}
    cohort = make_graphed(len(recipes), doubled(), recipes[0], **often)
    close(drive(cohort, recipes), alone(recipes, doubled(), **often))


# Its steps are device work alone.


def admitted(size, recipes, task=None):
    cohort = make_graphed(size, task or doubled(), recipes[0])
    for recipe in recipes:
        cohort.admit(recipe)
    return cohort


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle with momentum"])
def test_operations_noted_once_train_as_the_step_itself(schedule, monkeypatch):
    """As a CUDA graph does it: nothing of Python is repeated, and no new memory is read."""
    monkeypatch.setattr(CpuGraph, "made", 0)
    recipes = recipes_of(schedule, epochs=6)
    often = {"validate_every": {"fraction": 0.25}}
    expected = drive(make_graphed(len(recipes), doubled(), recipes[0], **often), recipes)
    monkeypatch.setattr(capture, "GRAPHS", {"cpu": (CpuGraph, lambda call: call())})
    trained = drive(make_graphed(len(recipes), doubled(), recipes[0], **often), recipes)
    assert CpuGraph.made == 1
    for (training, rows), (other, wanted) in zip(trained, expected, strict=True):
        assert same(training.kept, other.kept), training.recipe.title()
        assert [row.val_loss for row in rows] == [row.val_loss for row in wanted]
        assert [row.grad_norm for row in rows] == [row.grad_norm for row in wanted]


@pytest.mark.usefixtures("float64")
def test_dropout_draws_in_each_repetition_what_the_trials_alone_draw(monkeypatch):
    recipes = [recipe_of(name, "cosine", epochs=4) for name in ("adamw", "sgd")]
    often, task = {"validate_every": {"fraction": 0.25}}, doubled(with_dropout)
    made = drive(make_graphed(2, task, recipes[0], **often), recipes)
    close(made, alone(recipes, task, **often))
    monkeypatch.setattr(CpuGraph, "made", 0)
    monkeypatch.setattr(capture, "GRAPHS", {"cpu": (CpuGraph, lambda call: call())})
    repeated = drive(make_graphed(2, task, recipes[0], **often), recipes)
    assert CpuGraph.made == 1
    for (training, _), (other, _) in zip(repeated, made, strict=True):
        assert same(training.kept, other.kept)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_batches_of_a_dataset_are_copied_to_where_the_step_reads_them(accumulate, monkeypatch):
    recipes = [recipe_of(n, "cosine", epochs=4, accumulate=accumulate) for n in ("adamw", "sgd")]
    often, whole = {"validate_every": {"fraction": 0.25}, "accumulate": accumulate}, doubled()
    task = replace(whole, train=Subset(TensorDataset(*whole.train), range(99)))
    monkeypatch.setattr(CpuGraph, "made", 0)
    monkeypatch.setattr(capture, "GRAPHS", {"cpu": (CpuGraph, lambda call: call())})
    cohort = make_graphed(2, task, recipes[0], **often)
    made = drive(cohort, recipes)
    assert CpuGraph.made == 1
    close(made, alone(recipes, task, **often))


def test_batches_that_may_differ_in_shape_are_not_captured():
    def loader():
        return DataLoader(
            TensorDataset(*TRAIN), batch_size=16, collate_fn=lambda some: default_collate(some)
        )

    with pytest.raises(NotGraphedError, match="batches of several shapes"):
        make_graphed(2, make_task(train=loader, model=no_dropout), recipe_of("sgd", "cosine"))


def test_a_step_that_cannot_be_captured_goes_on_as_it_is(monkeypatch, caplog):
    class Refused:
        def __init__(self, call):
            raise RuntimeError("operation not permitted when stream is capturing")

    recipes = [recipe_of("adamw", "cosine", epochs=2), recipe_of("sgd", "cosine", epochs=2)]
    expected = drive(make_graphed(2, doubled(), recipes[0]), recipes)
    monkeypatch.setattr(capture, "GRAPHS", {"cpu": (Refused, lambda call: call())})
    with caplog.at_level("INFO", logger="lrsearch"):
        trained = drive(make_graphed(2, doubled(), recipes[0]), recipes)
    assert "step is not captured: RuntimeError: operation not permitted" in caplog.text
    for (training, _), (other, _) in zip(trained, expected, strict=True):
        assert same(training.kept, other.kept)


READS = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__")


class Reads(TorchDispatchMode):
    """Counts what the host reads of tensors, and copies from one device to another."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.found = []
        for name in READS:
            monkeypatch.setattr(torch.Tensor, name, self._counted(name))

    def _counted(self, name):
        own = getattr(torch.Tensor, name)

        def counted(tensor, *args):
            self.found.append(name)
            return own(tensor, *args)

        return counted

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = func(*args, **(kwargs or {}))
        places = {x.device for x in tree_leaves([args, given]) if isinstance(x, torch.Tensor)}
        if func is torch.ops.aten._local_scalar_dense.default or len(places) > 1:
            self.found.append(str(func))
        return given


def test_a_host_read_is_seen(monkeypatch):
    with Reads(monkeypatch) as reads:
        ones = torch.ones(2)
        if ones.sum() > 1:
            (float(ones[0]), ones.tolist())
    assert reads.found.count("aten._local_scalar_dense.default") == 2
    assert {"__bool__", "__float__", "tolist"} <= set(reads.found)


@pytest.mark.usefixtures("float64")
def test_an_epoch_is_trained_with_one_host_read(monkeypatch):
    recipes = recipes_of("one_cycle", epochs=6)
    cohort = admitted(len(recipes), recipes)
    cohort.advance(6)
    cohort.validate(cohort.due(), with_ema=lambda training: False)
    with Reads(monkeypatch) as reads:
        cohort.advance(6)
    assert {training.step for training in cohort.trainings} == {12}
    assert reads.found == ["tolist"]


@pytest.mark.usefixtures("float64")
def test_the_number_of_operations_is_that_of_one_trial_of_each_rule():
    def names(copies):
        recipes = [recipe_of(name, "cosine") for name in RULED for _ in range(copies)]
        cohort = admitted(len(recipes), recipes)
        cohort.advance(1)
        cohort.step_now.begin(1)
        with Noted() as noted:
            cohort.step_now.run()
        return noted.names

    assert len(RULED) > 10
    assert names(1) == names(4)


@pytest.mark.usefixtures("float64")
def test_memory_stays_where_it_is():
    """Over steps, epochs, validations, and a trial that takes another's place."""
    cohort = admitted(3, [recipe_of(name, "cosine") for name in ("sgd momentum", "adamw", "adamw")])
    cohort.advance(2)
    before, found = places_of(cohort), len(live_tensors())
    cohort.advance(2)
    assert places_of(cohort) == before
    assert len(live_tensors()) == found
    cohort.advance(2)
    cohort.drop(cohort.trainings[1])
    cohort.admit(recipe_of("adam", "linear"))
    cohort.advance(6)
    assert places_of(cohort) == before


def places_of(cohort):
    step, weights = cohort.step_now, cohort.program.flat_weights
    static = [weights.weights, weights.grads, *weights.others.values(), *cohort.program.averages]
    static += [cohort.program.loss_sums, step.sums, step.norms, step.clips, step.position]
    static += [step.column, step.order.samples, *step.kept.stacks, step.table.values]
    return [tensor.data_ptr() for tensor in static]


def live_tensors():
    gc.collect()
    return [value for value in gc.get_objects() if isinstance(value, torch.Tensor)]


def test_a_step_makes_nothing_on_another_device():
    """On the meta device, whose tensors have no numbers: an operation that the host did would show.

    A number in an expression is a tensor of the host, of no dimension, which is no copy."""
    recipes = recipes_of("cosine", epochs=3)
    base, meta = no_dropout(), torch.device("meta")
    layout, flat = advanced(recipes).step_now.layout, flat_weights.Layout.of(base)
    base.to(meta)
    data = TensorData(TRAIN, BATCH_SIZE, meta)
    program = Program(
        make_task(),
        base,
        FlatWeights(base, flat, len(recipes)),
        draws=False,
        recordings=None,
        absent=lambda leaf, value: False,
    )
    kept = Kept(program.flat_weights)
    kept.hold(MOST_KEPT)
    order = Order(data, len(recipes), 6, 1)
    step = Step(program, layout, kept, order, autocast=nullcontext, averaging=0.1)
    with Noted() as noted:
        step.run()
    assert len(noted.operations) > 300
    for func, args, kwargs, given in noted.operations:
        found = [x for x in tree_leaves([args, kwargs, given]) if isinstance(x, torch.Tensor)]
        assert {x.device.type for x in found if x.ndim} <= {"meta"}, func
        assert func is not torch.ops.aten._local_scalar_dense.default


def advanced(recipes, steps=1):
    cohort = admitted(len(recipes), recipes)
    cohort.advance(steps)
    return cohort


@pytest.mark.usefixtures("float64")
def test_a_validation_reads_all_losses_and_metrics_of_all_trials_at_once(monkeypatch):
    """Where numbers are left on the device; two batches, a loss and a metric of each trial."""
    validated = []
    for at_once in (means.READ_AT_ONCE, frozenset()):
        cohort = advanced(recipes_of("cosine", epochs=2), steps=6)
        with monkeypatch.context() as patched:
            patched.setattr(means, "READ_AT_ONCE", at_once)
            with Reads(patched) as reads:
                rows = cohort.validate(cohort.due(), with_ema=lambda training: False)
        validated.append([replace(row, seconds=0.0) for row in rows])
        assert reads.found.count("tolist") == (0 if at_once else 1)
    assert validated[0] == validated[1]
    assert len(validated[0]) > 10
