"""Validations on a part of the validation set: what they measure, and what they leave alone."""

import pytest
import torch
from small import CPU, VALIDATION, accuracy, make_recipe, make_task, make_tensors
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from trained_together import (
    alone,
    difference,
    drive,
    make_cache,
    make_cohort,
    make_spec,
    no_dropout,
    numbers,
    same,
)

from lrsearch.spec.pruning import RungSamples
from lrsearch.spec.validation_plan import with_rung_samples
from lrsearch.training.checkpoint_state import pack
from lrsearch.training.data import make_data, make_splits, part_of, validation_samples
from lrsearch.training.engine import SoloEngine
from lrsearch.training.one_model import OneModel
from lrsearch.training.training import Purpose, wants_average
from lrsearch.training.try_task import labels_each
from lrsearch.trial.curve import Validation

PART = {"rungs": [0.04, 0.11, 0.33], "samples": 40}
WHOLE = {**PART, "samples": "all"}


def samples_of(data):
    return torch.cat([targets for _, targets in data.validation()])


def inputs_of(data):
    return torch.cat([inputs for inputs, _ in data.validation()])


class Plain(Dataset):
    """A map-style dataset that is no tensors."""

    def __len__(self):
        return len(VALIDATION[0])

    def __getitem__(self, index):
        return VALIDATION[0][index], VALIDATION[1][index]


class Endless(IterableDataset):
    def __iter__(self):
        yield from zip(*VALIDATION, strict=True)


def test_each_class_has_its_share_of_a_part():
    whole = make_data(VALIDATION, 16, CPU, "validation")
    part = samples_of(part_of(whole, 50))
    for name in range(3):
        share = (VALIDATION[1] == name).sum() * 50 / 150
        assert abs((part == name).sum() - share) <= 1


def test_a_part_has_the_whole_range_of_a_regressions_targets():
    inputs, targets = VALIDATION[0], torch.linspace(0, 1, 150)[torch.randperm(150)]
    part = samples_of(part_of(make_data((inputs, targets), 16, CPU, "validation"), 10))
    assert part.sort().values.tolist() == pytest.approx(
        [i / 10 + 0.05 for i in range(10)], abs=0.02
    )


@pytest.mark.parametrize(
    ("targets", "labels"),
    [
        (torch.zeros(4, dtype=torch.int64), 1),
        (torch.zeros(4, 64, dtype=torch.int64), 64),
        (torch.zeros(4, 64), 1),
        (torch.zeros(4, 3, dtype=torch.bool), 1),
    ],
    ids=["a class", "characters of a text", "numbers", "answers yes or no"],
)
def test_classes_of_a_sample_are_its_labels(targets, labels):
    assert labels_each(make_task(), (torch.zeros(4, 2), targets)) == labels


def test_a_short_study_of_texts_takes_fewer_of_them_than_of_images():
    spec, fields = make_spec(epochs=1, pruning={}), {"steps_per_epoch": 10, "batch_size": 4}
    images, texts = (with_rung_samples(spec, whole=1_000, labels=n, **fields) for n in (1, 64))
    assert images.pruning.part == RungSamples(count=16, of=1_000, auto=True)
    assert texts.pruning.part == RungSamples(count=5, of=1_000, auto=True)


@pytest.mark.parametrize("source", [VALIDATION, Plain()], ids=["tensors", "dataset"])
def test_a_part_is_the_same_samples_every_time(source):
    first, again = (part_of(make_data(source, 16, CPU, "validation"), 40) for _ in range(2))
    assert len(inputs_of(first)) == 40
    assert torch.equal(inputs_of(first), inputs_of(again))
    assert validation_samples(first) == 40


def test_of_a_loader_whole_batches_are_taken_as_the_loader_makes_them():
    def source():
        return DataLoader(TensorDataset(*VALIDATION), batch_size=30)

    whole = make_data(source, 16, CPU, "validation")
    part = part_of(whole, 50)
    batches = [inputs for inputs, _ in whole.validation()]
    taken = [inputs for inputs, _ in part.validation()]
    assert len(taken) == 2
    assert all(any(torch.equal(mine, batch) for batch in batches) for mine in taken)
    assert len(list(whole.validation())) == 5


def test_no_part_is_taken_of_what_is_read_from_its_beginning():
    task = make_task(validation=Endless(), validation_batches=3)
    validation = make_splits(task, 16, CPU)[1]
    assert validation_samples(validation) is None
    assert part_of(validation, 10) is validation


def solo(recipe, pruning, purpose=None, until=None, task=None):
    """The trial, and what its validations have measured."""
    engine = SoloEngine(
        make_spec(epochs=recipe.epochs, pruning=pruning, validate_every="auto"),
        make_cache(task or make_task()),
    )
    training = engine.admit(recipe, *([purpose] if purpose else []))
    rows = go_on(engine, training, until)
    return engine, training, rows


def go_on(engine, training, until=None):
    rows = []
    while (not training.done or training.is_due) and (until is None or len(rows) < until):
        if training.is_due:
            rows += engine.validate(engine.due(), with_ema=wants_average)
        else:
            engine.advance(1000)
    return rows


@pytest.mark.parametrize(
    "schedule", ["cosine", {"name": "plateau", "patience": 0.0, "factor": 0.5}], ids=str
)
def test_weights_do_not_depend_on_validations_for_rungs_alone(schedule):
    recipe = make_recipe(schedule=schedule, epochs=3)
    _, looked_at, rows = solo(recipe, PART)
    _, plain, plain_rows = solo(recipe, None)
    assert len(rows) > len(plain_rows)
    assert same(numbers(looked_at), numbers(plain))
    curve = [row for row in rows if isinstance(row, Validation)]
    assert [row.validation for row in curve] == [1, 2, 3]
    for mine, other in zip(curve, plain_rows, strict=True):
        assert (mine.step, mine.val_loss, mine.train_loss) == (
            other.step,
            other.val_loss,
            other.train_loss,
        )


def test_a_part_is_measured_as_its_samples_are():
    _, training, rows = solo(make_recipe(epochs=3), PART, until=1)
    inputs, targets = next(part_of(training.validation_data, 40).validation())
    with torch.no_grad():
        [output] = OneModel(training.model).outputs(inputs)
    [row] = rows
    assert not isinstance(row, Validation)
    assert row.val_loss == pytest.approx(float(cross_entropy(output, targets)), rel=1e-6)
    assert row.metrics["accuracy"] == pytest.approx(float(accuracy(output, targets)))
    assert row.val_loss_ema is None  # the average is of the initial weights, mostly


def test_a_confirmation_run_is_validated_where_the_user_does_alone():
    _, _, rows = solo(make_recipe(epochs=3), PART, Purpose(kind="confirm"))
    assert [row.step for row in rows] == [6, 12, 18]
    assert all(isinstance(row, Validation) for row in rows)


def test_a_trial_goes_on_from_a_rung_as_if_it_had_not_been_interrupted():
    recipe = make_recipe(epochs=3)
    engine, training, _ = solo(recipe, PART, until=1)
    state = pack(training, [])
    rest = go_on(engine, training)
    other = SoloEngine(engine.spec, make_cache(make_task()))
    resumed = other.admit(recipe)
    assert resumed.unpack(state) == []
    found = go_on(other, resumed)
    assert same(numbers(resumed), numbers(training))
    assert [(r.step, r.val_loss) for r in found] == [(r.step, r.val_loss) for r in rest]


def test_a_cohort_measures_parts_as_each_of_its_trials_alone():
    task = make_task(model=no_dropout)
    recipes = [make_recipe(optimizer={"name": "sgd", "lr": lr}, epochs=3) for lr in (0.03, 0.1)]
    spec = {"pruning": PART, "validate_every": "auto"}
    cohort = make_cohort(2, task=task, recipe=recipes[0], **spec)
    together, apart = drive(cohort, recipes), alone(recipes, task=task, **spec)
    for (mine, rows), (other, other_rows) in zip(together, apart, strict=True):
        assert difference(mine.kept, other.kept) < 1e-5
        assert [row.step for row in rows] == [row.step for row in other_rows]
        assert [type(row) for row in rows] == [type(row) for row in other_rows]
        for a, b in zip(rows, other_rows, strict=True):
            assert a.val_loss == pytest.approx(b.val_loss, rel=1e-5)


def test_a_trial_may_diverge_at_a_validation_for_a_rung():
    targets = torch.full_like(VALIDATION[1], 2)
    task = make_task(
        validation=(torch.full_like(VALIDATION[0], float("nan")), targets), model=no_dropout
    )
    _, training, rows = solo(make_recipe(epochs=3), PART, task=task)
    assert len(rows) == 1
    assert "validation loss is not finite" in training.diverged


def test_a_set_that_is_no_larger_is_measured_whole():
    whole = make_data(make_tensors(30, seed=3), 16, CPU, "validation")
    assert part_of(whole, 40) is whole
