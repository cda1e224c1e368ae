"""`run.build`: the optimizer and the learning rates of `Recipe.build`, step by step, whatever a
script gives it."""

import copy

import pairs
import pytest
import torch
from fake_worker import FakeWorker, make_run
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.amp import GradScaler

from lrsearch.catalog.compatibility import illegal_pair, takes_warmup
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError, TaskError
from lrsearch.own_loop.messages import Failed
from lrsearch.recipe.recipe import Recipe

PAIRS = [
    (optimizer, schedule)
    for optimizer in OPTIMIZERS
    for schedule in SCHEDULES
    if illegal_pair(optimizer, schedule) is None and "script" not in (optimizer, schedule)
]
STEPS_PER_EPOCH, EPOCHS = 5, 4


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.trunk = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.norm(self.trunk(self.embedding(x))))


def loss_of(model, step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randint(5, (6,), generator=generator)
    return (model(x) - x[:, None].float()).square().mean()


def by_hand(recipe, model, groups=None):
    """What a user of `Recipe.build` gets: learning rates of all steps; the model is trained."""
    optimizer, scheduler = recipe.build(model, steps_per_epoch=STEPS_PER_EPOCH, groups=groups)
    lrs = []
    for step in range(EPOCHS * STEPS_PER_EPOCH):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        lrs.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
        if (step + 1) % STEPS_PER_EPOCH == 0 and recipe.schedule_name == "plateau":
            scheduler.step(loss_of(model, 1000).item())
    return lrs


def by_run(content, model, given):
    run, worker = make_run(recipe=content)
    optimizer = run.build(given, steps_per_epoch=STEPS_PER_EPOCH)
    lrs = []
    for _ in run.epochs():
        for _ in range(STEPS_PER_EPOCH):
            optimizer.zero_grad()
            loss_of(model, run.step).backward()
            lrs.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
        run.report(val_loss=loss_of(model, 1000))
    assert worker.hints == []
    return lrs


def assert_same_weights(a, b):
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0, equal_nan=True)


@st.composite
def recipes(draw):
    optimizer, schedule = draw(st.sampled_from(PAIRS))
    warmup = draw(st.sampled_from([0.0, 0.2])) if takes_warmup(optimizer, schedule) else 0.0
    return {
        "optimizer": {"name": optimizer, "lr": draw(st.sampled_from([0.05, 0.003]))},
        "schedule": {"name": schedule},
        "warmup": warmup,
        "epochs": EPOCHS,
    }


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(7)


@given(content=recipes(), form=st.sampled_from(["model", "parameters", "named", "groups", "decay"]))
@settings(max_examples=60)
def test_weights_and_learning_rates_are_those_of_a_recipe(content, form):
    torch.manual_seed(7)
    model = Net()
    other = copy.deepcopy(model)
    heads, groups = [list(model.head.parameters()), list(other.head.parameters())], None

    def parted(net, head):
        ids = set(map(id, head))
        rest = [p for p in net.parameters() if id(p) not in ids]
        return [{"params": rest}, {"params": head, "lr_scale": 0.1}]

    if form == "groups":
        groups = lambda net: parted(net, heads[1])  # noqa: E731
        content = {**content, "groups": "task"}
    if form == "decay":
        content = {**content, "groups": [{"kind": "norm", "lr_scale": 2.0}]}
    given = {
        "model": lambda: model,
        "parameters": model.parameters,
        "named": model.named_parameters,
        "groups": lambda: parted(model, heads[0]),
        "decay": model.parameters,
    }[form]()
    recipe = Recipe.from_dict({**content, "seed": 7})
    expected = by_hand(recipe, other, groups)
    assert by_run(content, model, given) == expected
    assert_same_weights(model, other)


@pytest.mark.parametrize(("optimizer", "schedule"), pairs.params(PAIRS))
def test_every_pair_is_driven_by_the_hook(optimizer, schedule):
    content = {
        "optimizer": {"name": optimizer, "lr": 0.01},
        "schedule": {"name": schedule},
        "epochs": EPOCHS,
    }
    model = Net()
    other = copy.deepcopy(model)
    expected = by_hand(Recipe.from_dict({**content, "seed": 7}), other)
    assert by_run(content, model, model) == expected
    assert_same_weights(model, other)


def build(given, **changes):
    run, _ = make_run(**changes)
    return run, run.build(given, steps_per_epoch=STEPS_PER_EPOCH)


def test_a_group_keeps_its_own_arguments_and_frozen_parameters_stay_out():
    model = Net()
    model.trunk.requires_grad_(False)
    given = [
        {"params": model.head.parameters(), "weight_decay": 0.5, "name": "head"},
        {"params": [*model.trunk.parameters(), *model.norm.parameters()], "lr_scale": 0.5},
        {"params": model.embedding.weight, "lr_scale": 0.1, "param_names": ["embedding"]},
    ]
    _, optimizer = build(given)
    groups = optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.05, 0.01])
    assert [group["weight_decay"] for group in groups] == [0.5, 0, 0]
    assert [len(group["params"]) for group in groups] == [2, 2, 1]


def test_muon_knows_embeddings_of_a_list_of_parameters():
    model = Net()
    recipe = {"optimizer": {"name": "muon", "lr": 0.01}}
    _, optimizer = build([*model.parameters()], recipe=recipe)
    assert len(optimizer.param_groups[0]["params"]) == 2
    _, optimizer = build([{"params": list(model.parameters())[:3]}], recipe=recipe)
    assert optimizer.param_groups[0]["params"] == [model.trunk.weight]


def test_parameters_of_two_models_and_of_none_are_one_optimizer():
    encoder, decoder = nn.Linear(2, 2), nn.Linear(2, 2)
    temperature = torch.zeros(1, requires_grad=True)
    given = [*encoder.parameters(), *decoder.parameters(), temperature]
    run, optimizer = build(given, recipe={"ema": {"epochs": 0.4}})
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == list(map(id, given))
    before = [p.detach().clone() for p in given]
    for parameter in given:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    with run.average():  # of span 2: half-way
        for parameter, start in zip(given, before, strict=True):
            torch.testing.assert_close(parameter.detach(), start - 0.05)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no parameters"),
        ([3], "has int"),
        ([{"weight_decay": 0.1}], r"groups\[0\] has no `params`"),
        ([{"params": [nn.Parameter(torch.zeros(1))], "lr": 0.1}], r"groups\[0\].lr is not"),
        ([torch.zeros(1)], "no parameter to train"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(given, message):
    with pytest.raises(TaskError, match=message) as error:
        build(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "4"])
def test_steps_per_epoch_is_a_count(steps):
    run, _ = make_run()
    with pytest.raises(TaskError, match="steps_per_epoch"):
        run.build(nn.Linear(1, 1), steps_per_epoch=steps)


def test_a_role_is_built_once():
    run, _ = build(nn.Linear(1, 1))
    with pytest.raises(TaskError, match="twice for role 'main'"):
        run.build(nn.Linear(1, 1), steps_per_epoch=1)


def test_groups_of_recipe_and_script_exclude_each_other():
    recipe = {"groups": [{"match": "weight", "lr_scale": 0.1}]}
    with pytest.raises(SpecError, match="leave one out"):
        build([{"params": Net().parameters()}], recipe=recipe)
    with pytest.raises(TaskError, match="was given none"):
        build(Net(), recipe={"groups": "task"})


def test_check_names_parameters_that_no_group_has():
    model = Net()
    run, worker = make_run(kind="check")
    run.build([{"params": model.head.parameters()}], steps_per_epoch=STEPS_PER_EPOCH)
    with pytest.raises(BaseException, match="failed"):
        next(run.epochs())
    [failed] = worker.of(Failed)
    assert "model.trunk.weight" in failed.error
    assert "and 1 more require" in failed.error


def test_two_optimizers_follow_the_recipe_each_by_its_own_steps():
    run, worker = make_run(recipe={"epochs": 2})
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    D = run.build(first, steps_per_epoch=4, role="D")
    G = run.build(second.parameters(), steps_per_epoch=2, role="G")
    lrs = []
    for epoch in run.epochs():
        for step in range(4):
            D.step()
            if step % 2:
                lrs.append((D.param_groups[0]["lr"], G.param_groups[0]["lr"]))
                G.step()
        run.report(val_loss=1.0)
        assert (run.step, run.epoch) == (4 * (epoch + 1), epoch)
    d = Recipe.from_dict(run.recipe.to_dict()).build(nn.Linear(1, 1), steps_per_epoch=2)
    assert [g for _, g in lrs] == plain_lrs(*d, 4)
    assert worker.hints == []


def plain_lrs(optimizer, scheduler, count):
    lrs = []
    for _ in range(count):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return lrs


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_scaler_skips_does_not_advance_the_schedule(fused):
    run, _ = make_run(recipe={"optimizer": {"name": "adam", "lr": 0.1, "fused": fused}})
    model = nn.Linear(2, 1)
    optimizer = run.build(model, steps_per_epoch=STEPS_PER_EPOCH)
    scaler = GradScaler("cpu", init_scale=4.0)
    seen = []
    for factor in (1.0, float("inf"), 1.0, float("nan"), 1.0):
        optimizer.zero_grad()
        loss = model(torch.ones(1, 2)).sum() * factor
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        seen.append(run.step)
    assert seen == [1, 1, 2, 2, 3]
    assert (
        optimizer.param_groups[0]["lr"]
        == plain_lrs(*run.recipe.build(model, steps_per_epoch=STEPS_PER_EPOCH), 4)[3]
    )


def test_a_loop_may_go_on_beyond_its_horizon():
    run, _ = make_run(recipe={"schedule": {"name": "one_cycle"}, "epochs": 1})
    optimizer = run.build(nn.Linear(1, 1), steps_per_epoch=4)
    for _ in range(7):
        optimizer.step()
    assert run.step == 7


def test_the_mode_of_a_plateau_that_follows_accuracy():
    """Where no val_loss is reported it follows the objective, better the higher it is."""
    recipe = {"schedule": {"name": "plateau", "factor": 0.5, "patience": 0.0}}
    worker = FakeWorker()
    run, _ = make_run(worker, metric="accuracy", direction="maximize", recipe=recipe)
    optimizer = run.build(nn.Linear(1, 1), steps_per_epoch=2)
    lrs = []
    for value in (0.1, 0.2, 0.15, 0.3):
        optimizer.step()
        run.report(accuracy=value)
        lrs.append(run.lr)
    assert lrs == [0.1, 0.1, 0.05, 0.05]
