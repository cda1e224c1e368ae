"""Parameter groups: what rules and functions take, what is refused, and that schedules keep the
ratio between groups in every step."""

import copy
import math
from itertools import pairwise

import pytest
import schedulefree
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lrsearch.catalog.compatibility import takes_warmup
from lrsearch.catalog.groups import rule_name
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError, TaskError
from lrsearch.recipe.parameter_groups import kinds_of, parameter_groups, recipe_lr
from lrsearch.recipe.recipe import Recipe

SGD = {"name": "sgd", "lr": 0.5}


class RMSNorm(nn.Module):
    """As packages write it: torch's own has another class."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = RMSNorm(4)


class Deep(nn.Module):
    """An embedding, three layers, a head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.layers = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(4, 2)


NAMES = [name for name, _ in Deep().named_parameters()]


def recipe_of(groups=None, optimizer=SGD, **fields):
    return Recipe.from_dict({"optimizer": optimizer, "epochs": 1, "groups": groups, **fields})


def found(groups, model=None, **optimizer):
    recipe = recipe_of(groups, {**SGD, **optimizer})
    return parameter_groups(recipe.optimizer, model or Deep(), recipe.groups)


def test_the_first_rule_that_takes_a_parameter_has_it():
    rest, layers, biases = found([{"match": "^layers", "lr_scale": 0.1}, {"match": "bias$"}])
    assert rest.names == ("embed.weight", "head.weight")
    assert layers.names == tuple(name for name in NAMES if name.startswith("layers"))
    assert biases.names == ("head.bias",)
    assert [group.lr_scale for group in (rest, layers, biases)] == [None, 0.1, None]


def test_layers_below_the_deepest_are_slower_by_a_factor_each():
    rule = {"match": r"layers\.(\d+)\.", "layer_decay": 0.8, "lr_scale": 0.5}
    _, *layers = found([rule])
    assert [group.lr_scale for group in layers] == [0.5, 0.5 * 0.8, 0.5 * 0.8**2]
    assert [group.names[0] for group in layers] == [f"layers.{i}.linear.weight" for i in (2, 1, 0)]


def test_a_layers_factor_is_the_same_whatever_else_is_frozen_or_taken():
    model = Deep()
    model.layers[2].requires_grad_(False)
    rule = {"match": r"layers\.(\d+)\.", "layer_decay": 0.8}
    _, *layers = found([{**rule, "kind": "norm"}, {**rule, "name": "rest"}], model)
    assert [group.lr_scale for group in layers] == [0.8, 0.8**2, 0.8, 0.8**2]


def test_kinds_are_told_by_classes_and_names():
    kinds = kinds_of(nn.ModuleDict({"deep": Deep(), "rnn": nn.LSTM(2, 2), "bn": nn.BatchNorm1d(2)}))
    assert {name for name, kind in kinds.items() if "norm" in kind} == {
        *(f"deep.layers.{i}.norm.weight" for i in range(3)),
        "bn.weight",
        "bn.bias",
    }
    assert {"rnn.bias_ih_l0", "rnn.bias_hh_l0", "bn.bias", "deep.head.bias"} <= {
        name for name, kind in kinds.items() if "bias" in kind
    }
    assert [name for name, kind in kinds.items() if "embedding" in kind] == ["deep.embed.weight"]


def test_match_and_kind_in_one_rule_both_have_to_hold():
    _, group = found([{"match": "layers", "kind": ["norm", "bias"], "weight_decay": 0}])
    assert group.names == tuple(
        name for i in range(3) for name in (f"layers.{i}.linear.bias", f"layers.{i}.norm.weight")
    )


def test_excluded_vectors_are_so_in_every_group():
    rules = [{"match": r"layers\.(\d+)\.", "layer_decay": 0.8, "weight_decay": 0.3}]
    groups = found(rules, weight_decay=0.1, weight_decay_exclude_1d=True)
    model = Deep()
    for group in groups:
        vectors = {model.get_parameter(name).ndim <= 1 for name in group.names}
        assert len(vectors) == 1
        assert (group.arguments.get("weight_decay") == 0.0) == vectors.pop()
    assert [group.lr_scale for group in groups] == [None] * 2 + [1.0] * 2 + [0.8] * 2 + [0.8**2] * 2


def test_frozen_parameters_are_in_no_group():
    model = Deep()
    model.layers.requires_grad_(False)
    rest, head = found([{"match": "head", "lr_scale": 10.0}], model)
    assert rest.names == ("embed.weight",)
    assert head.names == ("head.weight", "head.bias")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            [{"match": "lyers"}],
            "groups[0], match 'lyers', takes no parameter of the model; did you mean 'layers'?",
        ),
        (
            [{"match": "head"}, {"match": "head.bias"}],
            "groups[1], match 'head.bias', takes no parameter of the model: rules before it have "
            "head.bias; put it before them",
        ),
        (
            [{"match": "embed"}],
            "groups[0], match 'embed', takes no parameter of the model that is trained: "
            "embed.weight has requires_grad False; leave the rule out",
        ),
        (
            [{"match": "h(ea)d", "layer_decay": 0.5}],
            "groups: h_ea_d has layer_decay, but its match takes 'ea' as the layer's number of "
            r"head.weight; put brackets around the digits, as in 'layers\.(\d+)\.'",
        ),
    ],
    ids=["none", "taken", "frozen", "layer"],
)
def test_a_rule_that_does_not_fit_the_model_is_told_in_one_line(groups, message):
    model = Deep()
    model.embed.requires_grad_(False)
    with pytest.raises(TaskError) as error:
        found(groups, model)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([{"lr_scale": 0.1}], "groups[0] has neither match nor kind; write e.g. match: backbone"),
        ([{"match": "("}], "groups[0].match = '(': missing ), unterminated subpattern at posit"),
        ([{"match": "a", "lr": 0.1}], "groups[0].lr is not a field of a group; write lr_scale, "),
        ([{"match": "a", "lr_scale": 0}], "groups[0].lr_scale = 0, but above 0 is accepted"),
        ([{"match": "a", "lr_scle": 1}], "groups[0].lr_scle is not a field of a group with opt"),
        ([{"match": "a", "betas": [0.9, 0.9]}], "groups[0].betas is not a field of a group with"),
        ([{"kind": "norms"}], "groups[0].kind = 'norms'; did you mean 'norm'?"),
        ([{"match": "a", "layer_decay": 0.8}], "groups[0].match = 'a' tells no layer's number"),
        ([{"match": "a", "layer_decay": 1.8}], "groups[0].match = 'a' tells no layer's number"),
        ([{"match": "a"}, {"match": "a$"}], "groups[1] is called 'a' like one before it; add a n"),
        ([{"match": "a", "weight_decay": -1}], "groups[0].weight_decay = -1, but from 0 is acce"),
        ([{"match": "a", "nesterov": True}], "groups[0].nesterov holds for all groups; write it"),
        (["backbone"], "groups[0] = 'backbone'"),
        ("backbone", "groups = 'backbone': a list of rules such as"),
    ],
    ids=str,
)
def test_a_bad_rule_is_refused_with_its_place(groups, message):
    with pytest.raises(SpecError) as error:
        recipe_of(groups)
    assert str(error.value).startswith(f"recipe: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"match": "backbone"}, "backbone"),
        ({"match": r"layers\.(\d+)\."}, "layers"),
        ({"match": "^head|neck"}, "head_neck"),
        ({"match": "encoder.body", "kind": ["norm", "bias"]}, "encoder_body_norm_bias"),
        ({"match": "x", "name": "trunk"}, "trunk"),
        ({"match": "()"}, "group"),
    ],
)
def test_a_rule_has_a_name_that_can_be_read(rule, name):
    assert rule_name(rule) == name


# A task's own function.


def test_a_function_gives_groups_as_torch_takes_them():
    def groups(model):
        body = [p for name, p in model.named_parameters() if not name.startswith("head")]
        return [{"params": model.head.parameters()}, {"params": body, "lr_scale": 0.1}]

    recipe = recipe_of("task")
    optimizer, _ = recipe.build(Deep(), steps_per_epoch=3, groups=groups)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]
    assert recipe_lr(optimizer) == 0.5


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            lambda m: [{"params": m.head.parameters()}],
            "the task's groups() leaves embed.weight out, which is trained; put it into a group, "
            "or freeze it in model() with requires_grad_(False)",
        ),
        (
            lambda m: [{"params": m.parameters()}, {"params": [m.head.bias]}],
            "the task's groups()[1] has head.bias a second time; leave it out of one group",
        ),
        (
            lambda m: [{"params": [nn.Parameter(torch.ones(2))]}],
            "the task's groups()[0].params has Parameter that is no parameter of the model",
        ),
        (
            lambda m: [{"params": m.parameters(), "lr": 0.1}],
            "the task's groups()[0].lr is not a field of a group; write lr_scale, its factor of "
            "the recipe's lr",
        ),
        (lambda m: [[m.head.bias]], "the task's groups()[0] is no mapping with `params`, as torch"),
        (lambda m: m.tail, "the task's groups() raised AttributeError: 'Deep' object has no attr"),
        (
            lambda m: [{"params": m.parameters(), "lr_scale": -1}],
            "the task's groups()[0].lr_scale = -1, but above 0 is accepted",
        ),
    ],
)
def test_a_wrong_function_is_told_with_the_parameters_name(groups, message):
    with pytest.raises(TaskError) as error:
        recipe_of("task").build(Deep(), steps_per_epoch=3, groups=groups)
    assert str(error.value).startswith(message)


def test_a_recipe_of_the_tasks_function_needs_it():
    with pytest.raises(TaskError, match=r"give it: recipe.build\(model, ..., groups=FUNCTION\)"):
        recipe_of("task").build(Deep(), steps_per_epoch=3)


# A recipe's fields.


def test_a_recipe_without_groups_is_written_as_before_there_were_any(tmp_path):
    recipe = recipe_of()
    assert "groups" not in recipe.to_dict()
    assert "groups" not in recipe.model_dump()
    assert recipe_of([]).to_dict()["groups"] == []


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_recipe_with_groups_is_saved_and_loaded(tmp_path, suffix):
    rules = [{"match": ["a", "b"], "lr_scale": "1e-3"}, {"kind": "norm", "weight_decay": 0}]
    recipe = recipe_of(rules)
    recipe.save(tmp_path / f"recipe.{suffix}")
    assert Recipe.load(tmp_path / f"recipe.{suffix}") == recipe
    assert recipe.groups[0]["lr_scale"] == 1e-3
    assert "a_b: lr x 0.001 · norm: weight_decay 0" in recipe.title()


def test_the_short_form_is_a_factor_by_expression():
    short = recipe_of({"backbone": 0.1, "head": {"weight_decay": 0}})
    assert short.groups == (
        {"match": "backbone", "lr_scale": 0.1},
        {"match": "head", "weight_decay": 0},
    )


# Schedules keep the ratio.

#: Fields with which each schedule is at its hardest.
FIELDS = {
    "cosine": {"eta_min": 0.1},
    "cosine_restarts": {"T_0": 0.3, "T_mult": 2, "eta_min": 0.2},
    "one_cycle": {"cycle_momentum": True},
    "plateau": {"patience": 0.0, "factor": 0.3},
    "linear": {"end_factor": 0.05},
}
SCALES = (0.01, 3.0)
RATIO_GROUPS = [
    {"match": "head", "lr_scale": SCALES[0]},
    {"match": "layers", "lr_scale": SCALES[1], "momentum": 0.5},
]
STEPS = 40


def step(optimizer, scheduler, number):
    optimizer.step()
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        scheduler.step(1.0 if number % 4 == 3 else None)
    else:
        scheduler.step()


def ratio_recipe(schedule, warmup, lr=0.5):
    return recipe_of(
        RATIO_GROUPS,
        {"name": "sgd", "lr": lr, "momentum": 0.9},
        schedule={"name": schedule, **FIELDS.get(schedule, {})},
        warmup=warmup,
    )


WARMED = [
    (name, warmup)
    for name in SCHEDULES
    for warmup in ((0.0, 0.2) if takes_warmup("sgd", name) else (0.0,))
]


@pytest.mark.parametrize(("schedule", "warmup"), WARMED)
@pytest.mark.parametrize("lr", [0.5, 1e-6])
def test_every_schedule_keeps_the_ratio_between_groups(schedule, warmup, lr):
    recipe = ratio_recipe(schedule, warmup, lr)
    optimizer, scheduler = recipe.build(Deep(), steps_per_epoch=STEPS, validations=10)
    seen = set()
    for number in range(STEPS):
        rest, *others = [group["lr"] for group in optimizer.param_groups]
        assert recipe_lr(optimizer) == rest
        seen.add(rest)
        for group_lr, scale in zip(others, SCALES, strict=True):
            assert group_lr == pytest.approx(rest * scale, rel=1e-12, abs=1e-30)
        step(optimizer, scheduler, number)
        if number == STEPS // 2:  # as a resumed trial does
            state = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
            optimizer, scheduler = recipe.build(Deep(), steps_per_epoch=STEPS, validations=10)
            optimizer.load_state_dict(state[0])
            scheduler.load_state_dict(state[1])
    assert len(seen) > 1 or schedule == "constant"


@pytest.mark.parametrize(("schedule", "warmup"), WARMED)
def test_the_default_group_has_the_lr_of_a_recipe_without_groups(schedule, warmup):
    """The same to the last bit, but where torch's scheduler has one floor for all groups."""
    grouped = ratio_recipe(schedule, warmup)
    alone = Recipe.from_dict({**grouped.to_dict(), "groups": None})
    both = [
        recipe.build(Deep(), steps_per_epoch=STEPS, validations=10) for recipe in (grouped, alone)
    ]
    for number in range(STEPS):
        mine, plain = (optimizer.param_groups[0]["lr"] for optimizer, _ in both)
        if schedule in ("cosine", "cosine_restarts"):
            assert mine == pytest.approx(plain, rel=1e-12)
        else:
            assert mine == plain
        for built in both:
            step(*built, number)


def test_one_cycle_cycles_each_group_below_its_own_momentum():
    optimizer, scheduler = ratio_recipe("one_cycle", 0.0).build(Deep(), steps_per_epoch=STEPS)
    seen = []
    for number in range(STEPS):
        seen.append([group["momentum"] for group in optimizer.param_groups])
        step(optimizer, scheduler, number)
    for own, column in zip((0.9, 0.9, 0.5), zip(*seen, strict=True), strict=True):
        assert max(column) == own
        assert min(column) == pytest.approx(own - 0.1, abs=1e-6)


# Rounding: any schedule over any number of steps.


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    steps=st.integers(1, 40),
    warmup=st.floats(0, 0.99),
    data=st.data(),
)
def test_any_schedule_over_any_length_begins_at_the_peak_and_goes_to_the_end(
    name, steps, warmup, data
):
    warmup = warmup if takes_warmup("sgd", name) else 0.0
    fields = data.draw(st.sampled_from(EDGES[name]))
    recipe = Recipe.from_dict(
        {"optimizer": SGD, "schedule": {"name": name, **fields}, "warmup": warmup, "steps": steps}
    )
    optimizer, scheduler = recipe.build(nn.Linear(1, 1), steps_per_epoch=steps)
    lrs = []
    for number in range(steps):
        lrs.append(optimizer.param_groups[0]["lr"])
        step(optimizer, scheduler, number)
    assert all(math.isfinite(lr) and 0 <= lr <= 0.5 * (1 + 1e-9) for lr in lrs)
    first = min(round(warmup * steps), steps - 1)
    assert lrs[:first] == sorted(lrs[:first])
    if name not in ("cyclic", "one_cycle"):  # these begin below their peak, which is their shape
        assert lrs[first] == pytest.approx(0.5, rel=1e-9)


TINY = 1e-3
EDGES = {
    "constant": [{}],
    "step": [{}, {"step_size": TINY}, {"step_size": 1.0, "gamma": 0.99}],
    "multistep": [{}, {"milestones": [TINY, 2 * TINY]}, {"milestones": [0.999]}],
    "exponential": [{}, {"final": 1e-8}],
    "cosine": [{}, {"eta_min": 1.0}, {"eta_min": 0.1}],
    "cosine_restarts": [{}, {"T_0": TINY, "T_mult": 10}, {"T_0": 1.0, "eta_min": 0.5}],
    "linear": [{}, {"end_factor": 1.0}],
    "polynomial": [{}, {"power": 0.1}, {"power": 9.0}],
    "plateau": [{}, {"patience": 0.0}, {"metric": "objective", "mode": "max"}],
    "cyclic": [{}, {"step_size_up": TINY}, {"step_size_up": 0.5, "base_factor": 0.0}],
    "one_cycle": [{}, {"pct_start": TINY}, {"pct_start": 0.999}, {"pct_start": 1 / 3}],
    "wsd": [{}, {"decay": TINY}, {"decay": 1.0, "shape": "cosine"}],
    "rex": [{}, {"beta": 10.0}, {"beta": TINY}],
    "inverse_sqrt": [{}, {"timescale": TINY}],
}


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.99])
def test_a_milestone_is_never_at_the_first_step(steps, warmup):
    recipe = recipe_of(schedule={"name": "multistep"}, warmup=warmup)
    optimizer, scheduler = recipe.build(nn.Linear(1, 1), steps_per_epoch=steps)
    first = min(round(warmup * steps), steps - 1)
    for number in range(first):
        step(optimizer, scheduler, number)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize(
    ("warmup", "steps"),
    [(0.05, 8), (0.05, 10), (0.05, 11), (0.5, 10), (0.99, 10), (0.1, 1), (0.3, 2)],
)
@pytest.mark.parametrize("name", [name for name, warmup in WARMED if warmup])
def test_a_warm_up_of_few_steps_rises_to_the_peak_and_then_falls(name, warmup, steps):
    recipe = recipe_of(schedule={"name": name}, warmup=warmup)
    optimizer, scheduler = recipe.build(nn.Linear(1, 1), steps_per_epoch=steps)
    lrs = []
    for number in range(steps):
        lrs.append(optimizer.param_groups[0]["lr"])
        step(optimizer, scheduler, number)
    first = min(round(warmup * steps), steps - 1)
    assert lrs[first] == pytest.approx(0.5, rel=1e-9)
    assert lrs[:first] == sorted(lrs[:first])
    if name != "cosine_restarts":
        assert all(b <= a * (1 + 1e-9) for a, b in pairwise(lrs[first:]))


# Optimizers of other packages.

LAYERED = [{"match": "head", "lr_scale": 0.1}]


def test_an_optimizer_of_another_package_takes_groups():
    optimizer = {"name": "schedulefree.AdamWScheduleFree", "lr": 0.5, "warmup_steps": 0}
    built, _ = recipe_of(LAYERED, optimizer).build(Deep(), steps_per_epoch=3)
    assert [group["lr"] for group in built.param_groups] == [0.5, 0.05]


def test_one_that_loses_them_is_refused(monkeypatch):
    class Forgetful(torch.optim.SGD):
        def __init__(self, params, lr=0.1):
            super().__init__([p for group in params for p in group["params"]], lr=lr)

    monkeypatch.setattr(schedulefree, "Forgetful", Forgetful, raising=False)
    recipe = recipe_of(LAYERED, {"name": "schedulefree.Forgetful", "lr": 0.5})
    with pytest.raises(TaskError) as error:
        recipe.build(Deep(), steps_per_epoch=3)
    assert str(error.value) == (
        "schedulefree.Forgetful does not take 2 parameter groups with learning rates of their own; "
        "use another optimizer, or no groups"
    )
