"""Schedules: the LR sequence of each, its own property, and the traps of torch that it avoids."""

import itertools
import math
import warnings

import pytest
import reference
import torch
from drawn import DrawnTrial
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from lrsearch.catalog.compatibility import illegal
from lrsearch.catalog.lookup import check_schedule
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.recipe.plateau import Plateau
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space

LR = reference.LR
T = 24


def make_parameters():
    return [torch.nn.Parameter(torch.zeros(3))]


def make_recipe(schedule, *, warmup=0.0, optimizer=None, steps=T, **fields):
    return Recipe.from_dict(
        {
            "optimizer": optimizer or {"name": "sgd", "lr": LR},
            "schedule": schedule,
            "warmup": warmup,
            "steps": steps,
            **fields,
        }
    )


def build(recipe, **arguments):
    model = torch.nn.Linear(2, 1)
    return recipe.build(model, **{"steps_per_epoch": 6, **arguments})


def sequence(optimizer, scheduler, steps, start=0):
    """LR of each of the steps, and the one after the last."""
    lrs = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(start, steps):
            lrs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return [*lrs, optimizer.param_groups[0]["lr"]]


def lrs_of(schedule, *, steps=T, **fields):
    return sequence(*build(make_recipe(schedule, steps=steps, **fields)), steps)


def momentum_of(optimizer):
    return [(g.get("momentum"), g.get("betas")) for g in optimizer.param_groups]


def triangle(step, half):
    """0 at the start of a cycle of 2 * half steps, 1 in its middle; and which cycle it is."""
    cycle, position = divmod(step, 2 * half)
    return 1 - abs(position / half - 1), cycle


def anneal(start, end, fraction):
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def one_cycle_form(step, steps, pct_start, div, final_div):
    low, top = LR / div, pct_start * steps - 1
    if step <= top:
        return anneal(low, LR, step / top)
    return anneal(LR, low / final_div, (step - top) / (steps - 1 - top))


def doubling(step, first):
    """How far a cycle is done, of cycles of `first` steps, then twice as many, and so on."""
    while step >= first:
        step, first = step - first, 2 * first
    return step / first


#: Each schedule in closed form: what lrsearch is told, and the LR at the step t of T.
CLOSED_FORMS = {
    "constant": ({"name": "constant"}, lambda t, T: LR),
    "step": (
        {"name": "step", "step_size": 0.25, "gamma": 0.3},
        lambda t, T: LR * 0.3 ** (t // round(T / 4)),
    ),
    "multistep": (
        {"name": "multistep", "milestones": [0.3, 0.6, 0.8], "gamma": 0.5},
        lambda t, T: LR * 0.5 ** sum(t >= round(m * T) for m in (0.3, 0.6, 0.8)),
    ),
    "exponential": (
        {"name": "exponential", "final": 0.02},
        lambda t, T: LR * 0.02 ** (t / T),
    ),
    "cosine": ({"name": "cosine", "eta_min": 0.1}, lambda t, T: anneal(LR, 0.1 * LR, t / T)),
    "cosine to 0": ({"name": "cosine"}, lambda t, T: anneal(LR, 0, t / T)),
    "linear": (
        {"name": "linear", "end_factor": 0.2},
        lambda t, T: LR * (1 - 0.8 * t / T),
    ),
    "linear to 0": ({"name": "linear"}, lambda t, T: LR * (1 - t / T)),
    "cyclic": (
        {"name": "cyclic", "base_factor": 0.1, "step_size_up": 0.125, "mode": "triangular"},
        lambda t, T: LR * (0.1 + 0.9 * triangle(t, round(T / 8))[0]),
    ),
    "cyclic, halving": (
        {"name": "cyclic", "base_factor": 0.1, "step_size_up": 0.125},
        lambda t, T: LR * (0.1 + 0.9 * triangle(t, T // 8)[0] / 2 ** triangle(t, T // 8)[1]),
    ),
    "one_cycle": (
        {"name": "one_cycle", "pct_start": 0.25, "div_factor": 10, "final_div_factor": 100},
        lambda t, T: one_cycle_form(t, T, 0.25, 10, 100),
    ),
    "cosine_restarts": (
        {"name": "cosine_restarts", "T_0": 0.25, "eta_min": 0.1},
        lambda t, T: anneal(LR, 0.1 * LR, t % math.ceil(T / 4) / math.ceil(T / 4)),
    ),
    "cosine_restarts, doubling": (
        {"name": "cosine_restarts", "T_0": 1 / 3, "T_mult": 2},
        lambda t, T: anneal(LR, 0, doubling(t, math.ceil(T / 3))),
    ),
    "polynomial": (
        {"name": "polynomial", "power": 2.0},
        lambda t, T: LR * (1 - t / T) ** 2,
    ),
    "wsd, linear": (
        {"name": "wsd", "decay": 0.25, "shape": "linear"},
        lambda t, T: LR * min(1, (T - t) / (T / 4)),
    ),
    "wsd, cosine": (
        {"name": "wsd", "decay": 0.5, "shape": "cosine"},
        lambda t, T: anneal(LR, 0, max(0, 2 * t / T - 1)),
    ),
    "wsd, 1-sqrt": (
        {"name": "wsd", "decay": 1.0},
        lambda t, T: LR * (1 - (t / T) ** 0.5),
    ),
    "rex": (
        {"name": "rex", "beta": 0.5},
        lambda t, T: LR * (1 - t / T) / (0.5 + 0.5 * (1 - t / T)),
    ),
    "rex, a line": ({"name": "rex", "beta": 1.0}, lambda t, T: LR * (1 - t / T)),
    "inverse_sqrt": (
        {"name": "inverse_sqrt", "timescale": 0.1},
        lambda t, T: LR * (1 + t / (0.1 * T)) ** -0.5,
    ),
    "one_cycle by default": (
        {"name": "one_cycle"},
        lambda t, T: one_cycle_form(t, T, 0.3, 25, 1e4),
    ),
}


def test_every_schedule_has_a_closed_form_here_but_the_plateau():
    named = {schedule["name"] for schedule, _ in CLOSED_FORMS.values()}
    assert named == SCHEDULES.keys() - {"plateau"}


@pytest.mark.parametrize("steps", [24, 200])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_a_schedule_follows_its_closed_form(name, steps):
    schedule, form = CLOSED_FORMS[name]
    lrs = lrs_of(schedule, steps=steps)[:-1]
    assert lrs == pytest.approx([form(t, steps) for t in range(steps)], rel=1e-9, abs=1e-16)


WARMABLE = [name for name, (s, _) in CLOSED_FORMS.items() if SCHEDULES[s["name"]].no_warmup is None]


@pytest.mark.parametrize("steps", [24, 200])
@pytest.mark.parametrize("name", WARMABLE)
def test_after_warm_up_a_schedule_follows_its_closed_form_over_the_steps_left(name, steps):
    schedule, form = CLOSED_FORMS[name]
    lrs = lrs_of(schedule, warmup=0.125, steps=steps)
    warm, rest = steps // 8, steps - steps // 8
    assert lrs[:warm] == pytest.approx(
        [LR * (1e-8 + (1 - 1e-8) * t / warm) for t in range(warm)], rel=1e-9
    )
    assert lrs[warm] == LR
    assert lrs[warm:] == pytest.approx(
        [form(t, rest) for t in range(rest + 1)], rel=1e-9, abs=1e-16
    )


#: The recipes of `reference.PLAIN_SCHEDULERS`.
AS_PLAIN = {
    "constant": {},
    "step": {"step_size": 1 / 3, "gamma": 0.1},
    "multistep": {"milestones": [1 / 3, 2 / 3], "gamma": 0.3},
    "exponential": {"final": 0.01},
    "cosine": {"eta_min": 0.1},
    "cosine_restarts": {"T_0": 1 / 3},
    "linear": {"end_factor": 0.0},
    "polynomial": {"power": 2.0},
    "wsd": {"decay": 0.5},
    "rex": {},
    "inverse_sqrt": {"timescale": 0.5},
    "cyclic": {"base_factor": 0.1, "step_size_up": 1 / 6},
    "one_cycle": {},
}


@pytest.mark.parametrize("name", AS_PLAIN)
def test_a_schedule_gives_the_same_lrs_as_plain_torch(name):
    optimizer = SGD(make_parameters(), lr=LR)
    plain = sequence(optimizer, reference.PLAIN_SCHEDULERS[name](optimizer, T), T)
    assert lrs_of({"name": name, **AS_PLAIN[name]}) == plain


@pytest.mark.parametrize("name", reference.PLAIN_WARMABLE)
def test_a_warmed_up_schedule_gives_the_same_lrs_as_plain_torch(name):
    optimizer = SGD(make_parameters(), lr=LR)
    plain = sequence(optimizer, reference.plain_with_warmup(name, 0.25)(optimizer, T), T)
    assert lrs_of({"name": name, **AS_PLAIN[name]}, warmup=0.25) == plain


# Own properties


@pytest.mark.parametrize(("warmup", "ends"), [(0.05, 5), (0.1, 10), (0.5, 50)])
@pytest.mark.parametrize("name", reference.PLAIN_WARMABLE)
def test_warm_up_rises_from_almost_0_and_reaches_the_peak_where_it_says(name, warmup, ends):
    lrs = lrs_of({"name": name}, warmup=warmup, steps=100)
    assert 0 < lrs[0] <= 1e-8 * LR
    assert all(a < b for a, b in itertools.pairwise(lrs[: ends + 1]))
    assert lrs[ends] == LR == max(lrs)


@pytest.mark.parametrize("name", reference.PLAIN_WARMABLE)
def test_a_warm_up_in_steps_is_that_of_as_large_a_fraction(name):
    in_steps = lrs_of({"name": name}, warmup=0.0, warmup_steps=T // 4)
    assert in_steps == lrs_of({"name": name}, warmup=0.25)


def test_runs_of_any_length_rise_over_the_same_steps_and_keep_the_peak():
    wsd = {"name": "wsd", "decay": 0.5}
    short, long = (lrs_of(wsd, warmup=0.0, warmup_steps=6, steps=n) for n in (20, 60))
    assert short[:14] == long[:14]  # 6 steps of warm-up, then half of the 14 that are left
    assert short[14] < long[14] == LR


def test_a_warm_up_in_steps_is_shorter_than_the_run():
    message = "warmup_steps = 10, but the run has 10 optimizer steps; give fewer, or train longer"
    with pytest.raises(SpecError, match=message):
        lrs_of("cosine", warmup=0.0, warmup_steps=10, steps=10)
    with pytest.raises(SpecError, match=message):
        Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 1}, "steps": 10, "warmup_steps": 10})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"warmup": 0.1, "warmup_steps": 5}, "warmup and warmup_steps are both given; leave one"),
        ({"warmup_steps": 5, "schedule": "plateau"}, "warmup_steps = 5 cannot go with plateau: "),
        ({"warmup_steps": 0.5}, "warmup_steps = 0.5"),
        ({"warmup_steps": -1}, "warmup_steps = -1"),
    ],
)
def test_a_wrong_warm_up_in_steps_is_refused(fields, message):
    with pytest.raises(SpecError, match=message):
        Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 1.0}, **fields})


def test_a_recipe_without_a_warm_up_in_steps_is_written_as_before():
    recipe = Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 1.0}})
    assert "warmup_steps" not in recipe.to_dict()
    warm = recipe.model_copy(update={"warmup_steps": 5})
    assert Recipe.from_dict(warm.to_dict()).warmup_steps == 5
    assert "warmup 5 steps" in warm.title()


def test_a_warm_up_shorter_than_half_a_step_is_none():
    assert lrs_of("cosine", warmup=0.02) == lrs_of("cosine")


def test_a_warm_up_leaves_the_schedule_at_least_one_step():
    lrs = lrs_of("cosine", warmup=0.99, steps=10)
    assert lrs[9] == LR


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_cosine_never_rises_after_warm_up_and_ends_at_its_floor(warmup):
    lrs = lrs_of({"name": "cosine", "eta_min": 0.01}, warmup=warmup)[round(warmup * T) :]
    assert all(a > b for a, b in itertools.pairwise(lrs))
    assert lrs[-1] == pytest.approx(0.01 * LR, rel=1e-12)


def test_plain_torch_cosine_rises_again_beyond_t_max():
    """The reason why T_max spans exactly the steps after warm-up."""
    optimizer = SGD(make_parameters(), lr=LR)
    lrs = sequence(optimizer, CosineAnnealingLR(optimizer, T_max=T), T + 6)
    assert lrs[T] == pytest.approx(0, abs=1e-12)
    assert lrs[T + 6] > 0.1 * LR


def test_exponential_ends_at_final():
    assert lrs_of({"name": "exponential", "final": 0.003})[-1] == pytest.approx(0.003 * LR)


@pytest.mark.parametrize("end", [0.0, 0.3])
def test_linear_falls_in_equal_steps_to_its_end(end):
    lrs = lrs_of({"name": "linear", "end_factor": end})
    assert lrs[-1] == pytest.approx(end * LR, abs=1e-15)
    drops = [a - b for a, b in itertools.pairwise(lrs)]
    assert drops == pytest.approx([(1 - end) * LR / T] * T)


def test_constant_is_the_lr_itself_and_not_a_third_of_it():
    assert lrs_of("constant") == [LR] * (T + 1)


def test_step_cuts_where_its_fraction_says():
    lrs = lrs_of({"name": "step", "step_size": 0.5, "gamma": 0.1})
    assert lrs[T // 2 - 1] == LR
    assert lrs[T // 2] == pytest.approx(0.1 * LR)
    assert lrs[T - 1] == pytest.approx(0.1 * LR)


def test_cyclic_starts_at_its_base_and_peaks_at_the_lr():
    lrs = lrs_of({"name": "cyclic", "base_factor": 0.2, "step_size_up": 0.25})
    assert lrs[0] == pytest.approx(0.2 * LR)
    assert lrs[6] == pytest.approx(LR) == max(lrs)
    assert lrs[12] == pytest.approx(0.2 * LR)
    assert lrs[18] == pytest.approx((0.2 + 0.8 / 2) * LR)  # triangular2: half as high


def test_one_cycle_starts_low_peaks_at_the_lr_and_ends_lower():
    lrs = lrs_of({"name": "one_cycle", "pct_start": 0.3, "div_factor": 20}, steps=100)
    assert lrs[0] == pytest.approx(LR / 20)
    assert lrs[29] == pytest.approx(LR) == max(lrs)
    assert lrs[99] == pytest.approx(LR / 20 / 1e4) == min(lrs)


# Momentum

WITH_MOMENTUM = [
    {"name": "sgd", "lr": LR, "momentum": 0.5},
    {"name": "sgd", "lr": LR, "momentum": 0.0},
    {"name": "adam", "lr": LR, "betas": [0.7, 0.95]},
    {"name": "adamw", "lr": LR},
    {"name": "rmsprop", "lr": LR, "momentum": 0.0},
]


@pytest.mark.parametrize("optimizer", WITH_MOMENTUM, ids=lambda o: str(o))
@pytest.mark.parametrize("schedule", ["cyclic", "one_cycle"])
def test_a_cycle_never_overwrites_the_momentum_of_the_recipe(optimizer, schedule):
    built, scheduler = build(make_recipe(schedule, optimizer=optimizer))
    alone, _ = build(make_recipe("constant", optimizer=optimizer))
    for _ in range(T):
        assert momentum_of(built) == momentum_of(alone)
        built.step()
        scheduler.step()


def test_plain_torch_cycles_overwrite_lr_and_momentum_at_construction():
    for make in (
        lambda o: CyclicLR(o, base_lr=0.01, max_lr=LR),
        lambda o: OneCycleLR(o, max_lr=LR, total_steps=T),
    ):
        optimizer = SGD(make_parameters(), lr=LR, momentum=0.5)
        make(optimizer)
        assert optimizer.param_groups[0]["momentum"] != 0.5
        assert optimizer.param_groups[0]["lr"] != LR


@pytest.mark.parametrize(
    ("optimizer", "top"),
    [
        ({"name": "sgd", "momentum": 0.9}, 0.9),
        ({"name": "sgd"}, 0.95),
        ({"name": "sgd", "momentum": 0.05}, 0.05),
        ({"name": "rmsprop", "momentum": 0.6}, 0.6),
        ({"name": "adamw", "betas": [0.8, 0.99]}, 0.8),
        ({"name": "adam"}, 0.9),
    ],
    ids=str,
)
def test_cycled_momentum_falls_by_a_tenth_from_the_recipe_while_the_lr_rises(optimizer, top):
    schedule = {"name": "one_cycle", "cycle_momentum": True, "pct_start": 0.25}
    built, scheduler = build(make_recipe(schedule, optimizer={**optimizer, "lr": LR}))
    cycled = []
    for _ in range(T):
        group = built.param_groups[0]
        cycled.append(group["betas"][0] if "betas" in group else group["momentum"])
        built.step()
        scheduler.step()
    assert cycled[0] == pytest.approx(top)
    assert cycled[5] == min(cycled) == pytest.approx(max(0.0, top - 0.1))
    assert cycled[-1] == pytest.approx(top)


# Traps of torch


def test_plain_torch_refuses_a_warm_up_from_0_and_ours_starts_right_above_it():
    with pytest.raises(ValueError, match="greater than 0"):
        LinearLR(SGD(make_parameters(), lr=LR), start_factor=0.0, total_iters=5)
    assert lrs_of("constant", warmup=0.25)[0] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(("steps", "pct_start"), [(10, 0.1), (3, 1 / 3), (4, 0.25), (7, 1 / 7)])
def test_one_cycle_whose_rise_is_one_step_does_not_divide_by_0(steps, pct_start):
    assert pct_start * steps == 1
    with pytest.raises(ZeroDivisionError):
        OneCycleLR(SGD(make_parameters(), lr=LR), max_lr=LR, total_steps=steps, pct_start=pct_start)
    lrs = lrs_of({"name": "one_cycle", "pct_start": pct_start}, steps=steps)
    assert all(0 <= lr <= LR for lr in lrs[:-1])
    assert lrs[1] > lrs[2]


@pytest.mark.parametrize("steps", range(1, 60))
def test_one_cycle_builds_whatever_the_horizon_when_it_rises_for_one_step(steps):
    pct_start = 1 / steps if steps > 1 else 0.5
    lrs = lrs_of({"name": "one_cycle", "pct_start": pct_start}, steps=steps)
    assert all(0 <= lr <= LR * (1 + 1e-9) for lr in lrs[:-1])


@pytest.mark.parametrize(
    "make",
    [
        lambda o: OneCycleLR(o, max_lr=LR, total_steps=18, cycle_momentum=False),
        lambda o: CyclicLR(o, base_lr=LR / 10, max_lr=LR, step_size_up=3, cycle_momentum=False),
    ],
    ids=["one_cycle", "cyclic"],
)
def test_plain_torch_cycles_after_a_warm_up_corrupt_it(make):
    """The reason why both are refused with warm-up."""
    optimizer = SGD(make_parameters(), lr=LR)
    main = make(optimizer)
    warm = LinearLR(optimizer, start_factor=1e-8, total_iters=6)
    lrs = sequence(optimizer, SequentialLR(optimizer, [warm, main], milestones=[6]), 6)
    assert lrs[5] < LR / 2  # after 5 of the 6 steps up it should be 5/6 of the lr


def test_plain_torch_refuses_a_plateau_after_a_warm_up():
    optimizer = SGD(make_parameters(), lr=LR)
    warm = LinearLR(optimizer, start_factor=1e-8, total_iters=6)
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        SequentialLR(optimizer, [warm, ReduceLROnPlateau(optimizer)], milestones=[6])


@pytest.mark.parametrize("name", ["plateau", "cyclic", "one_cycle"])
def test_a_warm_up_is_refused_for_schedules_that_cannot_follow_one(name):
    assert illegal("sgd", {"name": name}, 0.0) is None
    with pytest.raises(SpecError) as error:
        make_recipe(name, warmup=0.05)
    reason = SCHEDULES[name].no_warmup
    assert (
        str(error.value) == f"recipe: warmup = 0.05 cannot go with {name}: {reason}; use warmup 0"
    )


def test_cycled_momentum_is_refused_for_an_optimizer_that_has_none():
    schedule = {"name": "one_cycle", "cycle_momentum": True}
    with pytest.raises(SpecError) as error:
        make_recipe(schedule, optimizer={"name": "adagrad", "lr": LR})
    assert str(error.value) == (
        "recipe: one_cycle.cycle_momentum = true needs momentum, and adagrad has none"
    )
    with pytest.raises(ValueError, match="momentum"):
        OneCycleLR(torch.optim.Adagrad(make_parameters(), lr=LR), max_lr=LR, total_steps=T)


# Resuming


@pytest.mark.parametrize(
    "make",
    [
        reference.PLAIN_SCHEDULERS["one_cycle"],
        reference.PLAIN_SCHEDULERS["cyclic"],
        reference.plain_with_warmup("cosine", 0.25),
    ],
    ids=["one_cycle", "cyclic", "warm-up"],
)
def test_plain_torch_resumes_with_other_lrs_if_the_optimizer_is_loaded_too_early(make):
    """Constructing a scheduler rewrites the lr: the reason for the order in `checkpoint.unpack`."""

    def resume_too_early(optimizer_state, scheduler_state):
        optimizer = SGD(make_parameters(), lr=LR)
        optimizer.load_state_dict(optimizer_state)
        scheduler = make(optimizer, T)
        scheduler.load_state_dict(scheduler_state)
        return optimizer, scheduler

    optimizer = SGD(make_parameters(), lr=LR)
    whole = sequence(optimizer, make(optimizer, T), T)
    optimizer = SGD(make_parameters(), lr=LR)
    scheduler = make(optimizer, T)
    sequence(optimizer, scheduler, 10)
    resumed = resume_too_early(optimizer.state_dict(), scheduler.state_dict())
    assert sequence(*resumed, T, start=10) != pytest.approx(whole[10:], rel=0.1)


@pytest.mark.parametrize("interrupted", [1, 6, 7, 23])
@pytest.mark.parametrize(
    ("name", "warmup"),
    [(name, 0.0) for name in AS_PLAIN] + [(name, 0.25) for name in reference.PLAIN_WARMABLE],
)
def test_a_built_schedule_resumes_with_the_same_lrs(name, warmup, interrupted):
    recipe = make_recipe({"name": name, **AS_PLAIN[name]}, warmup=warmup)
    whole = sequence(*build(recipe), T)
    optimizer, scheduler = build(recipe)
    sequence(optimizer, scheduler, interrupted)
    resumed, after = build(recipe)
    resumed.load_state_dict(optimizer.state_dict())
    after.load_state_dict(scheduler.state_dict())
    assert sequence(resumed, after, T, start=interrupted) == whole[interrupted:]


# Plateau


def make_plateau(**fields):
    recipe = make_recipe({"name": "plateau", "factor": 0.5, "patience": 0.2, **fields})
    return build(recipe, validations=10)  # 0.2 of 10: a patience of 2


def feed(optimizer, scheduler, losses):
    lrs = []
    for loss in losses:
        scheduler.step(loss)
        lrs.append(optimizer.param_groups[0]["lr"] / LR)
    return lrs


def test_a_plateau_without_a_metric_does_nothing():
    optimizer, scheduler = make_plateau()
    before = dict(scheduler.state_dict())
    assert sequence(optimizer, scheduler, 50) == [LR] * 51
    assert scheduler.state_dict() == before


def test_a_plateau_cuts_after_patience_bad_validations():
    losses = [3, 2, 2, 2, 2, 1, 1, 1, 1]
    assert feed(*make_plateau(), losses) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_a_plateau_is_reset_by_any_improvement():
    losses = [3 - 1e-6 * i for i in range(20)]
    assert feed(*make_plateau(), losses) == [1] * 20


def test_a_plateau_counts_nan_as_bad():
    assert feed(*make_plateau(), [1, math.nan, math.nan, math.nan]) == [1, 1, 1, 0.5]


def test_a_constant_negative_loss_is_no_improvement_though_plain_torch_takes_it_for_one():
    assert feed(*make_plateau(), [-1.0] * 4) == [1, 1, 1, 0.5]
    optimizer = SGD(make_parameters(), lr=LR)
    plain = ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    assert feed(optimizer, plain, [-1.0] * 100) == [1] * 100


def test_a_plateau_counts_its_patience_in_validations_of_the_whole_run():
    recipe = make_recipe({"name": "plateau", "patience": 0.1}, steps=600)
    _, each_epoch = build(recipe)
    _, each_half = build(recipe, validations=200)
    assert isinstance(each_epoch, Plateau)
    assert (each_epoch.patience, each_half.patience) == (10, 20)


def test_a_plateau_gives_the_same_lrs_as_plain_torch():
    losses = [1, 0.9, 0.95, math.nan, 0.92, 0.9, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
    optimizer = SGD(make_parameters(), lr=LR)
    plain = ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0)
    assert feed(*make_plateau(), losses) == feed(optimizer, plain, losses)


# Whatever a space may give

EVERYTHING = parse_space(
    {
        "optimizers": {name: {} for name in OPTIMIZERS if name != "rprop"},
        "schedules": {name: {} for name in SCHEDULES},
        "warmup": {"low": 0.0, "high": 0.95},
    }
)


@pytest.mark.parametrize("space", ["default", EVERYTHING], ids=["default", "everything"])
@given(data=st.data(), steps=st.integers(1, 150))
def test_any_recipe_of_a_space_keeps_its_lr_between_0_and_the_peak(space, data, steps):
    space = parse_space(space) if isinstance(space, str) else space
    recipe = Recipe.from_dict({**space.suggest(DrawnTrial(data)), "steps": steps})
    optimizer, scheduler = build(recipe)
    peak, momentum = recipe.optimizer["lr"], momentum_of(optimizer)
    for lr in sequence(optimizer, scheduler, steps)[:-1]:
        assert math.isfinite(lr)
        assert 0 <= lr <= peak * (1 + 1e-9)
        assert momentum_of(optimizer) == momentum


#: Where each schedule says it ends: lr as a multiple of the peak, after the last of `steps` steps.
ENDS = {
    "constant": lambda f, steps: 1.0,
    "step": lambda f, steps: f["gamma"] ** (steps // max(1, round(f["step_size"] * steps))),
    "multistep": lambda f, steps: f["gamma"] ** len(f["milestones"]),
    "exponential": lambda f, steps: f["final"],
    "cosine": lambda f, steps: f["eta_min"],
    "linear": lambda f, steps: f["end_factor"],
    "polynomial": lambda f, steps: 0.0,
    "wsd": lambda f, steps: 0.0,
    "rex": lambda f, steps: 0.0,
    "inverse_sqrt": lambda f, steps: (1 + 1 / f["timescale"]) ** -0.5,
}


@given(data=st.data(), steps=st.integers(20, 150))
def test_any_recipe_of_a_space_ends_where_it_says(data, steps):
    recipe = Recipe.from_dict({**EVERYTHING.suggest(DrawnTrial(data)), "steps": steps})
    lrs = [lr / recipe.optimizer["lr"] for lr in sequence(*build(recipe), steps)]
    schedule, fields = recipe.schedule["name"], recipe.schedule
    left = steps - min(round(recipe.warmup * steps), steps - 1)
    if schedule in ENDS:
        assert lrs[-1] == pytest.approx(ENDS[schedule](fields, left), rel=1e-6, abs=1e-9)
    elif schedule == "one_cycle":
        lowest = 1 / (fields["div_factor"] * fields["final_div_factor"])
        assert lrs[steps - 1] == pytest.approx(lowest, rel=1e-6)
    elif schedule == "cosine_restarts":
        cycle = math.ceil(fields["T_0"] * left)
        assert lrs[steps - 1] == pytest.approx(anneal(1, 0, (left - 1) % cycle / cycle), abs=1e-9)
    elif schedule == "cyclic":
        assert fields["base_factor"] * 0.999 <= lrs[-1] <= 1.001
    else:
        assert schedule == "plateau"
        assert lrs[-1] == 1.0


# What is refused


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"name": "cosin"}, "s.name = 'cosin' is not a schedule; did you mean 'cosine'?"),
        ({}, "s.name = None is not a schedule; accepted: "),
        ({"name": ["cosine"]}, "s.name = ['cosine'] is not a schedule; accepted: "),
        ({"name": "constant", "gamma": 1}, "s.gamma is not a field of constant; it has none"),
        ({"name": "step", "gama": 0.1}, "s.gama is not a field of step; did you mean 'gamma'?"),
        ({"name": "step", "step_size": 0}, "s.step_size = 0, but above 0 to 1 is accepted"),
        ({"name": "step", "step_size": 30}, "s.step_size = 30, but above 0 to 1 is accepted"),
        ({"name": "step", "gamma": 1.0}, "s.gamma = 1.0, but above 0 to below 1 is accepted"),
        ({"name": "multistep", "milestones": 0.5}, "s.milestones = 0.5, but a list of fractions"),
        ({"name": "multistep", "milestones": []}, "s.milestones = [], but a list of fractions"),
        (
            {"name": "multistep", "milestones": [0.8, 0.5]},
            "s.milestones = [0.8, 0.5], but rising fractions in (0, 1) are needed",
        ),
        (
            {"name": "multistep", "milestones": [30, 60]},
            "s.milestones = [30, 60], but rising fractions in (0, 1) are needed",
        ),
        ({"name": "exponential", "final": 0}, "s.final = 0, but above 0 to below 1 is accepted"),
        ({"name": "cosine", "eta_min": 1.5}, "s.eta_min = 1.5, but from 0 to 1 is accepted"),
        ({"name": "cosine", "eta_min": "x"}, "s.eta_min = 'x', but a finite number is needed"),
        ({"name": "linear", "end_factor": -1}, "s.end_factor = -1, but from 0 to 1 is accepted"),
        ({"name": "plateau", "factor": 1}, "s.factor = 1, but above 0 to below 1 is accepted"),
        ({"name": "plateau", "patience": 5}, "s.patience = 5, but from 0 to 1 is accepted"),
        (
            {"name": "cyclic", "mode": "triangular3"},
            "s.mode = 'triangular3'; did you mean 'triangular'?",
        ),
        (
            {"name": "cyclic", "step_size_up": 0.6},
            "s.cyclic: 2 x step_size_up 0.6 = 1.2, but together they are at most 1",
        ),
        (
            {"name": "cosine_restarts", "T_mult": 1.5},
            "s.T_mult = 1.5, but a whole number from 1 to 10 is accepted",
        ),
        ({"name": "wsd", "decay": 0}, "s.decay = 0, but above 0 to 1 is accepted"),
        ({"name": "wsd", "shape": "sqrt"}, "s.shape = 'sqrt'; "),
        ({"name": "rex", "beta": 0}, "s.beta = 0, but above 0 to 10 is accepted"),
        ({"name": "inverse_sqrt", "timescale": 0}, "s.timescale = 0, but above 0 is accepted"),
        ({"name": "one_cycle", "pct_start": 1}, "s.pct_start = 1, but above 0 to below 1"),
        ({"name": "one_cycle", "div_factor": 0}, "s.div_factor = 0, but above 0 is accepted"),
        (
            {"name": "one_cycle", "cycle_momentum": 1},
            "s.cycle_momentum = 1, but true or false is accepted",
        ),
    ],
    ids=str,
)
def test_a_bad_field_is_refused_with_place_value_and_what_is_accepted(schedule, message):
    with pytest.raises(SpecError) as error:
        check_schedule(schedule, "s")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_defaults_of_a_schedule_are_legal_and_complete(name):
    info = SCHEDULES[name]
    assert info.defaults.keys() == info.fields.keys()
    fixed = {"metric", "mode"} if name == "plateau" else set()  # what it follows is not searched
    assert info.ranges.keys() == info.fields.keys() - fixed
    check_schedule({"name": name, **info.defaults}, "defaults")
