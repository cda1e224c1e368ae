"""Trials in a cohort equal the same trials by themselves, whoever else is in it."""

import itertools

import pytest
import reference
import torch
from reference import LR
from small import FEATURES, make_recipe, make_task
from test_exactness import OPTIMIZERS, SCHEDULES, WARMUP
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import TensorDataset
from trained_together import (
    advance,
    alone,
    difference,
    doubled,
    drive,
    make_cache,
    make_cohort,
    make_spec,
    no_dropout,
    numbers,
    same,
    with_dropout,
)

from lrsearch.training import checkpoint_state
from lrsearch.training.engine import SoloEngine
from lrsearch.training.failures import CohortError
from lrsearch.training.fused import cohort_validation
from lrsearch.training.fused.stacked import Stacked

#: 102 steps.
EPOCHS = 17
#: Between float64 trials that compute the same in another order.
ROUNDING = 1e-12
FUSED = {"name": "adamw", "lr": 0.05, "fused": True}
KINDS = [name for name in OPTIMIZERS if name != "rprop"]


@pytest.fixture
def float64():
    """NAdam keeps a coefficient in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def recipe_of(kind, schedule, warmup=0.0, **changes):
    if schedule == "one_cycle with momentum" and kind not in reference.PLAIN_CYCLED_MOMENTUM:
        schedule = "one_cycle"
    fields = {
        "optimizer": {"lr": LR / 4, **OPTIMIZERS[kind]},
        "schedule": {"name": schedule.split()[0], **SCHEDULES[schedule]},
        "warmup": warmup if schedule in reference.PLAIN_WARMABLE else 0.0,
        "epochs": EPOCHS,
    }
    return make_recipe(**{**fields, **changes})


def close(trained, expected, tolerance=ROUNDING):
    for (training, rows), (other, wanted) in zip(trained, expected, strict=True):
        assert training.diverged is None
        assert difference(training.kept, other.kept) < tolerance, training.recipe.title()
        assert [row.step for row in rows] == [row.step for row in wanted]
        mine, theirs = ([row.val_loss for row in some] for some in (rows, wanted))
        assert mine == pytest.approx(theirs, rel=tolerance * 100)
        assert [row.metrics for row in rows] == [row.metrics for row in wanted]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("schedule", "epochs"),
    [
        ("constant", EPOCHS),
        ("plateau", EPOCHS),
        ("one_cycle with momentum", 6),
        *(
            pytest.param(schedule, EPOCHS, marks=pytest.mark.slow)
            for schedule in SCHEDULES
            if schedule not in ("constant", "plateau")
        ),
    ],
)
def test_every_optimizer_side_by_side_equals_each_alone(schedule, epochs):
    """36 or 100 steps of one cohort in float64: weights, buffers of the normalisation, averages,
    losses; half of them clipped, half of those warmed up, the last with one kernel for all."""
    recipes = [
        recipe_of(
            name,
            schedule,
            warmup=WARMUP * (i // 2 % 2),
            clip_norm=0.5 if i % 2 else None,
            epochs=epochs,
        )
        for i, name in enumerate(KINDS)
    ]
    recipes.append(recipe_of("adamw", schedule, optimizer=FUSED, epochs=epochs))
    if schedule == "constant":  # nothing else may drive rprop
        recipes.append(recipe_of("rprop", schedule, epochs=epochs))
    # Most of the time is the validations'; a plateau lives on them.
    often = {} if schedule == "plateau" else {"validate_every": {"fraction": 0.25}}
    cohort = make_cohort(len(recipes), doubled(), recipes[0], **often)
    close(drive(cohort, recipes), alone(recipes, doubled(), **often))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["sgd momentum", "adamw"])
def test_every_schedule_side_by_side_equals_each_alone(kind):
    recipes = [
        recipe_of(kind, schedule, warmup=WARMUP * (i % 2), epochs=6)
        for i, schedule in enumerate(SCHEDULES)
    ]
    cohort = make_cohort(len(recipes), doubled(), recipes[0])
    close(drive(cohort, recipes), alone(recipes, doubled()))


@pytest.mark.usefixtures("float64")
def test_a_short_run_is_judged_within_its_first_epoch_in_a_cohort_too():
    recipes = [recipe_of(name, "cosine", epochs=2) for name in ("sgd momentum", "adamw")]
    rungs = {"pruning": {"rungs": [0.1, 0.2, 0.5]}}
    trained = drive(make_cohort(2, doubled(), recipes[0], **rungs), recipes)
    assert [row.step for _, rows in trained for row in rows] == 2 * [1, 2, 6, 12]
    # The average spans an epoch: it is measured once it has seen more than that.
    averaged = [row.val_loss_ema is not None for _, rows in trained for row in rows]
    assert averaged == 2 * [False, False, False, True]
    close(trained, alone(recipes, doubled(), **rungs))


def test_the_same_holds_for_the_plain_loop():
    """In float64, against torch without lrsearch."""
    recipe = recipe_of("sgd momentum", "cosine")
    other = recipe_of("adamw", "step")
    [(training, rows), _] = drive(make_cohort(2, doubled(), recipe), [recipe, other])
    task = doubled()
    weights, losses, _ = reference.train(
        task.model,
        task.train,
        task.validation,
        cross_entropy,
        make_optimizer=lambda p: torch.optim.SGD(p, lr=LR / 4, momentum=0.9, weight_decay=1e-3),
        make_scheduler=reference.PLAIN_SCHEDULERS["cosine"],
        seed=recipe.seed,
        epochs=EPOCHS,
        batch_size=16,
    )
    assert difference(list(weights.values()), training.kept[: len(weights)]) < ROUNDING
    assert [row.val_loss for row in rows] == pytest.approx(losses, rel=1e-10)


def plain_model():
    """On a CPU vmap has no batch normalisation of mixed types."""
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_single_precision_differs_by_rounding(precision):
    recipes = [recipe_of(name, "cosine", precision=precision, epochs=2) for name in KINDS]
    task = make_task(model=plain_model)
    trained = drive(make_cohort(len(recipes), task, recipes[0]), recipes)
    for (training, _), (other, _) in zip(trained, alone(recipes, task), strict=True):
        assert difference(training.kept, other.kept) < (1e-3 if precision == "fp32" else 0.3)


# Who else is in it


MIXED = [
    recipe_of(name, schedule, epochs=4)
    for name, schedule in zip(KINDS, itertools.cycle(["cosine", "step", "one_cycle"]), strict=False)
]


@pytest.mark.parametrize(
    "model", [no_dropout, lambda: nn.Linear(FEATURES, 3)], ids=["bn", "linear"]
)
def test_joining_and_leaving_change_nothing_for_the_others(model):
    """One trial with three others, with others that come and go, and by itself among free places:
    the same bits."""
    task, recipe = make_task(model=model), recipe_of("adamw", "cosine", epochs=6)

    def trial_beside(others, leaving=()):
        cohort = make_cohort(4, task, recipe)
        trained = [(cohort.admit(recipe), [])]
        waiting = list(others)
        while not trained[0][0].done:
            while waiting and cohort.may_join():
                trained.append((cohort.admit(waiting.pop(0)), []))
            advance(cohort, trained)
            for training in cohort.trainings[1:]:
                if training.epochs in leaving:
                    cohort.drop(training)
        return trained[0]

    training, rows = trial_beside(MIXED[:3])
    for others, leaving in [((), ()), (MIXED[3:], (1, 2)), (MIXED[5:], (3,))]:
        other, again = trial_beside(others, leaving)
        assert same(training.kept, other.kept)
        assert [row.val_loss for row in rows] == [row.val_loss for row in again]


@pytest.mark.usefixtures("float64")
def test_a_cohort_that_shrinks_changes_nothing_for_those_who_stay():
    """To rounding: with fewer trials, processors with AVX-512 sum in another order."""
    recipes = [recipe_of(name, "cosine", epochs=4) for name in KINDS[:8]]
    task = doubled()
    whole = drive(make_cohort(8, task, recipes[0]), recipes)
    cohort = make_cohort(8, task, recipes[0])
    trained = [(cohort.admit(recipe), []) for recipe in recipes]
    sizes = []
    while cohort.trainings:
        advance(cohort, trained)
        for training in cohort.trainings[2::2]:
            cohort.drop(training)
        cohort.shrink()
        sizes.append(cohort.size)
    assert sizes == [8, 4, 2, 2] or sizes[-1] == 2
    stayed = [number for number, (training, _) in enumerate(trained) if training.done]
    assert len(stayed) == 2
    close([trained[number] for number in stayed], [whole[number] for number in stayed])


def test_trials_come_and_go_at_the_ends_of_epochs():
    """Each begins its schedule at its own first step, and sees its own epochs' batches."""
    recipes = [recipe_of(name, "one_cycle", epochs=3, seed=i % 2) for i, name in enumerate(KINDS)]
    task = doubled()
    trained = drive(make_cohort(4, task, recipes[0]), recipes)
    close(trained, alone(recipes, task), tolerance=1e-6)


# Checkpoints


@pytest.mark.parametrize("model", [no_dropout, with_dropout], ids=["joins", "lock-step"])
@pytest.mark.parametrize("step", [6, 10])
def test_a_cohort_that_is_resumed_goes_on_to_the_same_bits(model, step):
    task = make_task(model=model)
    recipes = [recipe_of(name, "cosine", epochs=3) for name in KINDS[:4]]
    whole = drive(make_cohort(4, task, recipes[0]), recipes)
    first = make_cohort(4, task, recipes[0])
    trained = [(first.admit(recipe), []) for recipe in recipes]
    advance(first, trained, 6)
    if step > 6:
        first.advance(step - 6)
    saved = [checkpoint_state.pack(training) for training, _ in trained]
    torch.manual_seed(99)
    second = make_cohort(4, task, recipes[0])
    resumed = []
    for recipe, data in zip(recipes, saved, strict=True):
        training = second.admit(recipe)
        assert checkpoint_state.unpack(training, data) == []
        resumed.append((training, []))
    assert all(second.fits(training) for training, _ in resumed)
    while second.trainings:
        advance(second, resumed)
    for (training, _), (other, _) in zip(resumed, whole, strict=True):
        assert same(training.kept, other.kept)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", [*KINDS, "fused"])
def test_a_trial_of_a_cohort_goes_on_alone_and_one_alone_in_a_cohort(kind):
    recipe = recipe_of(KINDS[0] if kind == "fused" else kind, "cosine", epochs=4)
    if kind == "fused":
        recipe = recipe_of(
            "adamw", "cosine", epochs=4, optimizer={"name": "adamw", "lr": 0.01, "fused": True}
        )
    task = doubled()
    [(expected, _)] = alone([recipe], task)

    engines = [
        lambda: make_cohort(3, task, recipe),
        lambda: SoloEngine(make_spec(epochs=4), make_cache(task)),
    ]
    for before, after in (engines, engines[::-1]):
        first = before()
        training = first.admit(recipe)
        advance(first, [(training, [])])
        first.advance(3)
        second = after()
        resumed = second.admit(recipe)
        assert checkpoint_state.unpack(resumed, checkpoint_state.pack(training)) == []
        while second.trainings:
            advance(second, [(resumed, [])])
        assert difference(resumed.kept, expected.kept) < ROUNDING


def test_one_that_stands_elsewhere_in_its_epoch_does_not_fit():
    recipe = recipe_of("sgd", "cosine", epochs=3)
    task = make_task(model=no_dropout)
    first = make_cohort(2, task, recipe)
    training = first.admit(recipe)
    first.advance(3)
    second = make_cohort(2, task, recipe)
    second.admit(recipe)
    other = second.admit(recipe)
    checkpoint_state.unpack(other, checkpoint_state.pack(training))
    assert not second.fits(other)
    second.drop(other)
    assert second.may_join()


# Lock-step


@pytest.mark.usefixtures("float64")
def test_dropout_draws_what_each_trial_alone_would():
    task = doubled(with_dropout)
    recipes = [recipe_of(name, "cosine", epochs=3) for name in KINDS[:5]]
    cohort = make_cohort(5, task, recipes[0])
    assert cohort.lock_step
    close(drive(cohort, recipes), alone(recipes, task))


@pytest.mark.parametrize("begun", [False, True])
def test_one_that_does_not_fit_leaves_the_random_numbers_of_those_who_stay(begun):
    """It may be behind them, or ahead."""
    task, recipe = make_task(model=with_dropout), recipe_of("sgd", "cosine", epochs=2)
    [(expected, _)] = drive(make_cohort(2, task, recipe), [recipe])
    first = make_cohort(2, task, recipe)
    training = first.admit(recipe)
    first.advance(4)
    saved = checkpoint_state.pack(training)
    second = make_cohort(2, task, recipe)
    stays = second.admit(recipe)
    if begun:
        checkpoint_state.unpack(stays, saved)
    goes = second.admit(recipe)
    if not begun:
        checkpoint_state.unpack(goes, saved)
    assert not second.fits(goes)
    second.drop(goes)
    while second.trainings:
        advance(second, [(stays, [])])
    assert same(stays.kept, expected.kept)


def test_a_lock_step_takes_one_seed_and_nobody_later():
    recipe = recipe_of("sgd", "cosine", epochs=3)
    cohort = make_cohort(3, make_task(), recipe)
    cohort.admit(recipe)
    assert cohort.takes(recipe)
    assert not cohort.takes(recipe_of("sgd", "cosine", epochs=3, seed=1))
    cohort.advance(1000)
    assert not cohort.may_join()


@pytest.mark.usefixtures("float64")
def test_data_from_a_dataset_go_in_lock_step():
    whole = doubled()
    task = make_task(
        model=whole.model,
        train=Rows(*whole.train),
        validation=Rows(*whole.validation),
    )
    recipes = [recipe_of(name, "cosine", epochs=2) for name in KINDS[:3]]
    cohort = make_cohort(3, task, recipes[0])
    assert cohort.lock_step
    close(drive(cohort, recipes), alone(recipes, whole))


class Rows(TensorDataset):
    """A dataset that is not taken for its tensors."""

    def __init__(self, *tensors):
        super().__init__(*tensors, tensors[0])

    def __getitem__(self, index):
        return super().__getitem__(index)[:2]


def test_only_trials_of_one_kind_share_a_cohort():
    recipe = recipe_of("sgd", "cosine")
    cohort = make_cohort(2, make_task(model=no_dropout), recipe)
    assert cohort.takes(recipe_of("adam", "step", seed=5))
    for change in ({"batch_size": 8}, {"params": {"width": 3}}, {"precision": "bf16"}):
        assert not cohort.takes(recipe_of("sgd", "cosine", **change))


# Micro-batches, scaled losses, memory


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("count", [2, 3])
def test_micro_batches_add_up(count):
    task = doubled()
    recipes = [recipe_of(name, "cosine", epochs=3, accumulate=count) for name in KINDS[:4]]
    close(drive(make_cohort(4, task, recipes[0]), recipes), alone(recipes, task))


def squares_task():
    """A regression whose stacked outputs round otherwise than those of a model alone."""
    torch.manual_seed(5)
    train, validation = ((torch.randn(n, 10), torch.randn(n, 1)) for n in (96, 150))
    return make_task(
        model=lambda: nn.Sequential(nn.Linear(10, 64), nn.Tanh(), nn.Linear(64, 1)),
        train=train,
        validation=validation,
        loss=mse_loss,
        metrics={},
    )


@pytest.mark.parametrize("task", [make_task(model=with_dropout), squares_task()], ids=["a", "b"])
def test_a_cohort_is_validated_to_the_bit_as_its_models_alone(task):
    """Raw and averaged weights, by a plain loop over the same numbers."""
    recipes = [recipe_of(name, "cosine", epochs=2) for name in KINDS[:3]]
    cohort = make_cohort(3, task, recipes[0])
    trainings = [cohort.admit(recipe) for recipe in recipes]
    cohort.advance(100)
    rows = cohort.validate(trainings, with_ema=lambda training: training is not trainings[1])
    assert [row.val_loss_ema is None for row in rows] == [False, True, False]
    for training, row in zip(trainings, rows, strict=True):
        weights = [(row.val_loss, training.model.state_dict())]
        if row.val_loss_ema is not None:
            weights.append((row.val_loss_ema, training.ema.weights()))
        for found, state in weights:
            assert found == plain_validation(task, {k: v.clone() for k, v in state.items()})


@torch.no_grad()
def plain_validation(task, state):
    model = task.model().eval()
    model.load_state_dict(state)
    inputs, targets = task.validation
    total = 0.0
    for x, y in zip(torch.split(inputs, 128), torch.split(targets, 128), strict=True):
        total += float(task.loss(model(x), y)) * len(y)
    return total / len(targets)


def test_a_model_in_training_mode_is_evaluated_in_evaluation_mode():
    cohort = make_cohort(2, make_task(model=with_dropout))
    training = cohort.admit(make_recipe())
    for averaged in (False, True):
        training.model[-1].train()  # as a task's metric may leave it
        assert not any(m.training for m in training.evaluated(averaged=averaged).model.modules())


def test_an_average_is_evaluated_where_it_lies_after_a_move():
    cohort = make_cohort(4)
    training = cohort.admit(make_recipe())
    cohort.advance(1)
    training.evaluated(averaged=True)
    cohort.shrink()
    cohort.advance(1)
    seen = training.evaluated(averaged=True).weights
    assert all(torch.equal(seen[name], value) for name, value in training.ema.weights().items())
    assert cohort.size == 2


def test_each_trial_scales_its_own_loss():
    """Alone or together, fp16 leaves out the same steps, and nobody else's."""
    task = make_task(model=plain_model)
    recipes = [
        recipe_of("sgd", "cosine", epochs=2, precision="fp16", optimizer={"name": "sgd", "lr": lr})
        for lr in (0.01, 0.02)
    ]
    cohort = make_cohort(2, task, recipes[0])
    trained = [(cohort.admit(recipe), []) for recipe in recipes]
    trained[0][0].scaler._init_scale = 2.0**40
    while cohort.trainings:
        advance(cohort, trained)
    (first, _), (second, _) = trained
    assert first.scaler.get_scale() < 2.0**40
    assert first.scheduler.last_epoch < second.scheduler.last_epoch == 12
    [_, (other, _)] = alone(recipes, task)
    assert difference(second.kept, other.kept) < 0.05


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("call", "model"),
    [("gradients", no_dropout), ("gradients", with_dropout), ("outputs", no_dropout)],
    ids=["joins", "lock-step", "in a validation"],
)
def test_out_of_memory_halves_what_is_computed_at_once(call, model, monkeypatch, caplog):
    task = doubled(model)
    recipes = [recipe_of(name, "cosine", epochs=3) for name in KINDS[:5]]
    real = getattr(Stacked, call)

    def little_room(self, part, *batch, **how):
        found = real(self, part, *batch, **how)  # buffers are written by then
        if len(range(*part.rows.indices(5))) > 2:
            raise torch.OutOfMemoryError("no room")
        return found

    monkeypatch.setattr(Stacked, call, little_room)
    monkeypatch.setattr(cohort_validation, "ONE_BY_ONE", frozenset())
    close(drive(make_cohort(5, task, recipes[0]), recipes), alone(recipes, task))
    assert caplog.messages[-1] == "out of memory: 2 trials at once from now on"


def test_what_cannot_go_on_leaves_every_trial_at_its_last_step(monkeypatch):
    task, recipes = make_task(), [recipe_of(name, "cosine", epochs=3) for name in KINDS[:2]]
    cohort = make_cohort(2, task, recipes[0])
    trained = [(cohort.admit(recipe), []) for recipe in recipes]
    advance(cohort, trained)
    before, state = [numbers(training) for training, _ in trained], torch.get_rng_state()
    real = Stacked.gradients

    def gradients(self, *arguments, **how):
        real(self, *arguments, **how)
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(Stacked, "gradients", gradients)
    with pytest.raises(CohortError, match="one trial at a time"):
        cohort.advance(1)
    assert [training.step for training, _ in trained] == [6, 6]
    assert all(
        same(numbers(training), kept) for (training, _), kept in zip(trained, before, strict=True)
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_a_diverged_trial_leaves_the_others_alone():
    task = make_task(model=no_dropout)
    good = recipe_of("adamw", "cosine", epochs=4)
    bad = recipe_of("sgd", "constant", epochs=4, optimizer={"name": "sgd", "lr": 1e6})
    [(training, _), (wild, _)] = drive(make_cohort(2, task, good), [good, bad])
    [(calm, _), _] = drive(make_cohort(2, task, good), [good, good])
    assert wild.diverged is not None
    assert same(training.kept, calm.kept)
    [_, (by_itself, _)] = alone([good, bad], task)
    assert wild.diverged.split(" step ")[1] == by_itself.diverged.split(" step ")[1]


def test_a_validation_that_raises_leaves_every_trial_before_it():
    """Here the averaged weights of the second trial are what the metric refuses, once."""
    calls = []

    def metric(output, target):
        calls.append(1)
        if len(calls) == 7:  # 2 trials and 2 averages have 2 batches each
            raise ValueError("no metric")
        return 0.0

    free = {"name": "schedulefree.AdamWScheduleFree", "lr": 0.05}
    recipes = [
        recipe_of("adamw", "constant", epochs=2, optimizer=optimizer)
        for optimizer in (free, {"name": "adamw", "lr": 0.01})
    ]
    task = make_task(model=no_dropout, metrics={"metric": metric})
    cohort, other = (make_cohort(2, task, recipes[0]) for _ in range(2))
    for engine in (cohort, other):
        for recipe in recipes:
            engine.admit(recipe)
        engine.advance(1000)
    with pytest.raises(ValueError, match="no metric"):
        cohort.validate(cohort.due(), with_ema=lambda training: True)
    assert [training.validated for training in cohort.trainings] == [0, 0]
    rows = cohort.validate(cohort.due(), with_ema=lambda training: True)
    wanted = other.validate(other.due(), with_ema=lambda training: True)
    for row, expected in zip(rows, wanted, strict=True):
        assert (row.train_loss, row.val_loss) == (expected.train_loss, expected.val_loss)
    cohort.advance(1)  # and their optimizers are in training again
