"""Trials of a graphed cohort come, go, stop and go on as those of every other cohort do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import make_task
from test_cohort import close, recipe_of
from test_graphed_cohort import RULED, make_graphed
from torch import nn
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
    same,
    with_dropout,
)

from lrsearch.catalog.optimizers import OPTIMIZERS as CATALOG
from lrsearch.training import checkpoint_state
from lrsearch.training.engine import SoloEngine
from lrsearch.training.failures import CohortError
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.fused.stacked import Stacked
from lrsearch.training.graphed import choose
from lrsearch.training.graphed.cohort import CHUNK, GraphedCohort
from lrsearch.training.graphed.updates import NAMES

#: Between float64 trials that compute the same in another order.
ROUNDING = 1e-12


@pytest.fixture
def float64():
    """NAdam keeps a coefficient in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("float64")
def test_trials_of_any_rule_take_the_places_of_others():
    """Rows of one rule lie together, however the trials have come."""
    recipes = [recipe_of(name, "one_cycle", epochs=3, seed=i % 2) for i, name in enumerate(RULED)]
    cohort = make_graphed(4, doubled(), recipes[0])
    close(drive(cohort, recipes), alone(recipes, doubled()))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("other", "kind"), [*(("solo", kind) for kind in RULED), ("fused", "adamw")]
)
def test_a_trial_goes_on_in_another_engine_and_back(kind, other):
    recipe, task = recipe_of(kind, "cosine", epochs=3), doubled()
    makes = [
        lambda: make_graphed(3, task, recipe),
        lambda: (
            SoloEngine(make_spec(epochs=3), make_cache(task))
            if other == "solo"
            else make_cohort(3, task, recipe)
        ),
    ]
    [(expected, _)] = alone([recipe], task)
    saved = None
    for make, steps in zip([*makes, makes[0]], (5, 4, 1000), strict=True):
        engine = make()
        training = engine.admit(recipe)
        if saved is not None:
            assert checkpoint_state.unpack(training, saved) == []
            assert engine.fits(training)
        while engine.trainings and steps:
            before = training.step
            advance(engine, [(training, [])], steps)
            steps -= training.step - before
        saved = checkpoint_state.pack(training)
    assert difference(training.kept, expected.kept) < ROUNDING


@pytest.mark.usefixtures("float64")
def test_a_checkpoint_holds_one_trial_of_many():
    recipes = [recipe_of("adamw", "cosine", epochs=3)] * 64
    saved = []
    for count in (1, 64):
        cohort = make_graphed(count, doubled(), recipes[0])
        for recipe in recipes[:count]:
            cohort.admit(recipe)
        cohort.advance(2)
        saved.append(len(checkpoint_state.pack(cohort.trainings[0])))
    assert saved[1] < 1.1 * saved[0]


@pytest.mark.usefixtures("float64")
def test_a_cohort_that_shrinks_changes_nothing_for_those_who_stay():
    recipes = [recipe_of(name, "cosine", epochs=4) for name in RULED[:8]]
    cohort = make_graphed(8, doubled(), recipes[0])
    trained = [(cohort.admit(recipe), []) for recipe in recipes]
    advance(cohort, trained)
    for training in cohort.trainings[1::2]:
        cohort.drop(training)
    cohort.shrink()
    assert cohort.size == 4
    stayed = [(training, rows) for training, rows in trained if training in cohort.trainings]
    while cohort.trainings:
        advance(cohort, trained)
    close(stayed, alone([training.recipe for training, _ in stayed], doubled()))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("fails_at", [0, 3, CHUNK + 2])
def test_what_raises_leaves_every_trial_at_its_last_step(fails_at, monkeypatch):
    """Schedules are ahead of the steps then, and go back; the trials go on alone."""
    task = doubled(lambda: nn.Linear(6, 3))
    task = make_task(model=task.model, train=task.train, validation=task.validation, batch_size=2)
    recipes = [recipe_of(name, "one_cycle", epochs=1) for name in RULED]
    cohort = make_graphed(len(recipes), task, recipes[0], validate_every={"fraction": 1.0})
    trained = [cohort.admit(recipe) for recipe in recipes]
    real, calls = Stacked.gradients, []

    def gradients(self, *arguments, **how):
        calls.append(1)
        found = real(self, *arguments, **how)
        if len(calls) > fails_at:
            raise torch.OutOfMemoryError("no room")
        return found

    monkeypatch.setattr(Stacked, "gradients", gradients)
    with pytest.raises(CohortError, match="one trial at a time"):
        cohort.advance(1000)
    monkeypatch.undo()
    assert {training.step for training in trained} == {fails_at}
    every = {"validate_every": {"fraction": 1.0}}
    expected = alone(recipes, task, **every)
    for training, (other, _) in zip(trained, expected, strict=True):
        engine = SoloEngine(make_spec(epochs=1, **every), make_cache(task))
        resumed = engine.admit(training.recipe)
        assert checkpoint_state.unpack(resumed, checkpoint_state.pack(training)) == []
        while engine.trainings:
            advance(engine, [(resumed, [])])
        assert difference(resumed.kept, other.kept) < ROUNDING, training.recipe.title()


def test_a_diverged_trial_leaves_the_others_alone():
    task = make_task(model=no_dropout)
    good = recipe_of("adamw", "cosine", epochs=4)
    bad = recipe_of("sgd", "constant", epochs=4, optimizer={"name": "sgd", "lr": 1e6})
    [(training, _), (wild, _)] = drive(make_graphed(2, task, good), [good, bad])
    [(calm, _), _] = drive(make_graphed(2, task, good), [good, good])
    assert same(training.kept, calm.kept)
    [_, (by_itself, _)] = alone([good, bad], task)
    assert wild.diverged.split(" step ")[1] == by_itself.diverged.split(" step ")[1]
    assert wild.step == by_itself.step


def test_micro_batches_add_up():
    recipe = recipe_of("adamw", "cosine", epochs=4, accumulate=3)
    task = doubled()
    close(drive(make_graphed(2, task, recipe), [recipe] * 2), alone([recipe] * 2, task))


# Random hyperparameters against torch.optim itself.


class Given(nn.Module):
    """Its gradient is whatever the batch is."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64)[None])

    def forward(self, inputs):
        return (inputs * self.weight).sum(1)


RATES = st.floats(0.5, 0.99)
SHARED = {"lr": st.floats(1e-4, 0.1), "eps": st.floats(1e-8, 1e-3)}
DRAWN = {
    "betas": st.tuples(RATES, st.floats(0.8, 0.999)).map(list),
    "momentum": st.sampled_from([0.0, 0.5, 0.9]),
    "dampening": st.sampled_from([0.0, 0.3]),
    "weight_decay": st.sampled_from([0.0, 0.01, 0.3]),
    "amsgrad": st.booleans(),
    "decoupled_weight_decay": st.booleans(),
    "momentum_decay": st.floats(0, 0.1),
    "lr_decay": st.floats(0, 0.1),
    "initial_accumulator_value": st.floats(0, 1),
    "rho": RATES,
    "alpha": RATES,
    "centered": st.booleans(),
    "lambd": st.floats(0, 0.01),
    "t0": st.sampled_from([0.0, 5.0, 1e6]),
    "etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.1, 2)).map(list),
    "step_sizes": st.just([1e-6, 0.05]),
    "nesterov": st.booleans(),
}


@st.composite
def drawn_optimizers(draw):
    name = draw(st.sampled_from(sorted(NAMES)))
    known = CATALOG[name].fields
    drawn = {field: draw(DRAWN[field]) for field in known if field in DRAWN}
    drawn |= {key: draw(of) for key, of in SHARED.items() if key in known or key == "lr"}
    if drawn.get("nesterov") and (not drawn["momentum"] or drawn["dampening"]):
        drawn["nesterov"] = False
    return {"name": name, **drawn}


@settings(max_examples=15)
@given(optimizers=st.lists(drawn_optimizers(), min_size=1, max_size=6))
def test_any_hyperparameters_give_what_torch_gives(optimizers):
    torch.set_default_dtype(torch.float64)
    try:
        inputs = torch.randn(96, 6, generator=torch.Generator().manual_seed(3))
        task = make_task(
            model=Given,
            train=(inputs, inputs[:, 0]),
            validation=(inputs, inputs[:, 0]),
            loss=lambda output, target: output.mean(),
            metrics={},
        )
        recipes = [recipe_of("sgd", "constant", optimizer=o, epochs=4) for o in optimizers]
        every = {"validate_every": {"fraction": 1.0}}
        cohort = make_graphed(len(recipes), task, recipes[0], **every)
        close(drive(cohort, recipes), alone(recipes, task, **every))
    finally:
        torch.set_default_dtype(torch.float32)


# Which cohort a study has.


@pytest.mark.parametrize(
    ("devices", "model", "optimizers", "kind"),
    [
        ({"cpu"}, no_dropout, ["sgd", "adamw"], GraphedCohort),
        ({"cpu"}, no_dropout, ["sgd", "muon"], Cohort),
        ({"cpu"}, with_dropout, ["sgd"], GraphedCohort),
        ({"cuda"}, no_dropout, ["sgd"], Cohort),
    ],
)
def test_a_step_is_captured_where_all_of_it_can_be(devices, model, optimizers, kind, monkeypatch):
    monkeypatch.setattr(choose, "DEVICES", devices)
    space = {"optimizers": {name: {} for name in optimizers}, "schedules": {"cosine": {}}}
    made = choose.make_cohort(
        make_spec(space=space), make_cache(make_task(model=model)), recipe_of("sgd", "cosine"), 2
    )
    assert type(made) is kind
    if kind is GraphedCohort:
        assert not made.takes(recipe_of("adafactor", "cosine"))
        assert made.takes(recipe_of("nadam", "cosine"))


def test_a_step_that_is_captured_is_not_recorded_as_well():
    """A recording compares bits, and would wait for the device in the middle of a capture."""
    cohort = make_graphed(2, make_task(model=no_dropout), recipe_of("sgd", "cosine"))
    cohort.admit(recipe_of("sgd", "cosine"))
    cohort.advance(1)
    assert cohort.program.recordings is None
    assert make_cohort(2, make_task(model=no_dropout)).program.recordings is not None


def test_on_a_cpu_nothing_is_captured_unless_asked():
    assert {"cuda"} == choose.DEVICES
