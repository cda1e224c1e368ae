"""A portfolio's recipes lie inside the space they are moved into, near to what they were."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from drawn import DrawnTrial
from hypothesis import given, reject
from hypothesis import strategies as st

from lrsearch.catalog.domains import Range
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.space.portfolio.default import DEFAULT
from lrsearch.space.portfolio.edges import Edge, shift_of
from lrsearch.space.portfolio.entries import Entry
from lrsearch.space.presets import PRESETS
from lrsearch.space.sampling_units import suggest
from lrsearch.spec.study_spec import StudySpec

STUDIES = Path(__file__).parents[2] / "studies"
DECADES = {"low": 1e-4, "high": 1.0, "log": True}


def space_of(optimizers, schedules=("cosine",), **changes):
    return parse_space({"optimizers": optimizers, "schedules": list(schedules), **changes})


def entry(name, lr, schedule="one_cycle", warmup=0.0, **fields):
    optimizer = {"name": name, "lr": lr, **fields}
    return Entry(optimizer=optimizer, schedule={"name": schedule}, warmup=warmup, source="a test")


def sgd(lr, schedule="cosine"):
    return entry("sgd", lr, schedule, 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)


def moved(space, *entries, **options):
    return portfolio_recipes(space, entries, **options)


def test_entries_keep_their_order_and_their_values():
    space = space_of(["adamw", "sgd"], ["constant", "one_cycle", "cosine"], warmup=[0.0, 0.05])
    first, second = moved(space, entry("adamw", 3e-3, weight_decay=0.02), sgd(0.1))
    assert first["optimizer"]["lr"] == pytest.approx(3e-3)
    assert first["optimizer"]["weight_decay"] == pytest.approx(0.02)
    assert first["optimizer"]["betas"] == [pytest.approx(0.9), 0.999]
    assert (first["schedule"]["name"], first["warmup"]) == ("one_cycle", 0.0)
    assert first["schedule"]["pct_start"] == pytest.approx(0.3)
    momentum = {"momentum": pytest.approx(0.9), "nesterov": True}
    decay = {"weight_decay": pytest.approx(5e-4)}
    assert second["optimizer"] == {"name": "sgd", "lr": pytest.approx(0.1), **momentum, **decay}
    assert (second["schedule"]["name"], second["warmup"]) == ("cosine", 0.05)


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        ({"low": 1e-4, "high": 0.05, "log": True}, 0.05),
        ({"low": 0.2, "high": 1.0, "log": True}, 0.2),
        ({"low": 0.04, "high": 1.0, "step": 0.05}, 0.09),
        ({"choices": [0.5, 0.06]}, 0.06),
        (0.7, 0.7),  # fixed by the user, who wins however far it is
        ({"low": 1e-4, "high": 0.03, "log": True}, None),
        ({"low": 0.33, "high": 1.0, "log": True}, None),
        ({"choices": [0.5, 0.02]}, None),
    ],
    ids=str,
)
def test_a_rate_moves_by_half_a_decade_at_most_else_its_entry_is_left_out(domain, value):
    space = space_of({"sgd": {"lr": domain, "momentum": 0.9}, "adamw": {}})
    found = moved(space, sgd(0.1), entry("adamw", 1e-3))
    rates = {recipe["optimizer"]["name"]: recipe["optimizer"]["lr"] for recipe in found}
    assert rates.get("sgd") == (value and pytest.approx(value))
    assert "adamw" in rates


def test_without_the_entrys_momentum_the_rate_has_the_same_step_size():
    (recipe,) = moved(space_of({"sgd": {"lr": DECADES, "momentum": 0.0}}), sgd(0.05))
    assert recipe["optimizer"]["lr"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("params", "batch_size", "accumulate"), [({}, 32, 1), ({}, 256, 4), ({"batch_size": 16}, 99, 2)]
)
def test_the_rate_is_in_torchs_units_whatever_the_batch_size(params, batch_size, accumulate):
    space = space_of({"sgd": {"lr": DECADES, "momentum": 0.9}}, params=params)
    options = {"batch_size": batch_size, "accumulate": accumulate}
    (recipe,) = moved(space, sgd(0.05), **options)
    assert recipe["optimizer"]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize(("batch_size", "lr"), [(32, 0.025), (128, 0.1), (None, 0.05)])
def test_a_rate_that_is_for_a_batch_size_follows_it(batch_size, lr):
    space = space_of({"sgd": {"lr": DECADES, "momentum": 0.9}, "adamw": {}})
    rates = [replace(each, batch_size=64) for each in (sgd(0.05), entry("adamw", 1e-3))]
    first, second = moved(space, *rates, batch_size=batch_size)
    assert first["optimizer"]["lr"] == pytest.approx(lr)
    assert second["optimizer"]["lr"] == pytest.approx(1e-3)


def test_a_schedule_that_is_not_there_gives_way_to_the_nearest_that_decays():
    space = space_of(["adamw"], ["constant", "step", "linear"], warmup=[0.0, 0.05, 0.1])
    (recipe,) = moved(space, entry("adamw", 1e-3, "one_cycle"))
    assert recipe["schedule"]["name"] == "linear"
    assert recipe["warmup"] == 0.05  # one-cycle warms up by itself, linear does not
    (recipe,) = moved(space_of(["adamw"], ["constant"]), entry("adamw", 1e-3, "wsd", 0.05))
    assert recipe["schedule"]["name"] == "constant"


def test_two_entries_that_come_to_the_same_are_one():
    entries = [entry("adamw", 1e-3, "linear", 0.05), entry("adamw", 1e-3, "cosine", 0.05)]
    assert len(moved(space_of(["adamw"]), *entries)) == 1


def test_a_relative_takes_the_rate_and_adam_no_decoupled_decay():
    given = entry("adamw", 3e-3, weight_decay=0.1)
    (adam,) = moved(space_of({"adam": {"weight_decay": [0.0, 0.1]}}), given)
    assert adam["optimizer"]["lr"] == pytest.approx(3e-3)
    assert adam["optimizer"]["weight_decay"] == 0.0
    (muon,) = moved(space_of(["muon"]), given)
    assert muon["optimizer"]["weight_decay"] == pytest.approx(0.1)
    (both,) = moved(space_of(["adam", "adamw"]), given)
    assert both["optimizer"]["name"] == "adamw"


def test_where_no_entry_fits_each_optimizer_has_one_at_the_middle_of_its_range():
    lr = {"low": 1e-6, "high": 1e-4, "log": True}
    space = space_of({"adamw": {"lr": lr}, "sgd": {}}, ["constant", "linear"])
    first, second = moved(space, entry("adamw", 1e-2))
    assert first["optimizer"]["lr"] == pytest.approx(1e-5)
    assert second["optimizer"]["lr"] == pytest.approx(math.sqrt(1e-3))
    assert second["optimizer"]["momentum"] == pytest.approx(0.9)
    assert [r["schedule"]["name"] for r in (first, second)] == ["linear", "linear"]


# After a range test


def rates(space, edges, *entries, **options):
    recipes = portfolio_recipes(space, entries, edges=edges, **options)
    return [(r["optimizer"]["name"], r["optimizer"]["lr"]) for r in recipes]


def test_rates_beyond_the_edge_are_left_out_and_others_stay():
    space = space_of(["adamw", "sgd"])
    some = (entry("adamw", 0.03), sgd(0.3), entry("adamw", 0.01), sgd(0.1), sgd(0.03))
    edges = {"sgd": Edge(highest=0.1)}
    found = rates(space, edges, *some)
    adamw = [("adamw", pytest.approx(0.03)), ("adamw", pytest.approx(0.01))]
    assert found == [*adamw, ("sgd", pytest.approx(0.1)), ("sgd", pytest.approx(0.03))]
    assert rates(space, {"adam": Edge(highest=0.0)}, *some) == rates(space, {}, *some)
    assert rates(space, {"adamw": Edge(highest=1e-9), "sgd": Edge(highest=1e-9)}, *some) == []


@given(
    st.lists(st.sampled_from(DEFAULT), min_size=1, max_size=8, unique_by=id),
    st.floats(1e-6, 10),
    st.sampled_from([1.0, 0.1, 0.01, 10.0]),
)
def test_no_rate_is_beyond_the_edge_and_none_below_it_is_lost(entries, highest, shift):
    space = parse_space("default")
    edges = {name: Edge(highest=highest, shift=shift) for name in ("adamw", "sgd", "rmsprop")}
    before = portfolio_recipes(space, entries, 64)
    after = portfolio_recipes(space, entries, 64, edges=edges)
    lrs = [recipe["optimizer"]["lr"] for recipe in after]
    assert all(lr <= highest * (1 + 1e-9) for lr in lrs)
    assert all(recipe in after for recipe in before if recipe["optimizer"]["lr"] < highest)
    if shift == 1.0:
        assert all(recipe in before for recipe in after)


def test_the_edge_of_sgd_is_in_the_samplers_unit():
    space = space_of(["sgd"])
    edges = {"sgd": Edge(highest=0.05)}
    # At batch 256 lr 0.1 steps as far as 0.025 at 64.
    assert rates(space, edges, sgd(0.1), sgd(0.3), batch_size=256) == [("sgd", pytest.approx(0.1))]
    assert rates(space, edges, sgd(0.1), batch_size=64) == []


def test_copies_of_the_entries_are_added_where_the_edge_lies_far_off():
    space = space_of({"adamw": {"lr": DECADES}, "adam": {"lr": DECADES}})
    low = {"adamw": Edge(highest=0.004, shift=0.1)}
    some = (entry("adamw", 0.03), entry("adamw", 0.003))
    expected = [("adamw", pytest.approx(lr)) for lr in (0.003, 0.003, 3e-4)]
    assert rates(space, low, *some) == expected[1:]  # the copy of the first is the second
    high = {"adamw": Edge(highest=10.0, shift=10.0)}
    assert [lr for _, lr in rates(space, high, *some)] == pytest.approx([0.03, 0.3, 0.003])
    relative = {"adam": Edge(highest=10.0, shift=10.0)}
    adam = space_of({"adam": {"lr": DECADES}})
    assert [lr for _, lr in rates(adam, relative, some[0])] == pytest.approx([0.03, 0.3])


@pytest.mark.parametrize(
    ("edge", "shift"),
    [(0.1, 1), (0.011, 1), (0.9, 1), (0.01, 0.1), (0.003, 10**-1.5), (1e-4, 1e-3), (1.1, 10)],
)
def test_a_shift_is_one_unless_the_edge_lies_a_decade_off(edge, shift):
    assert shift_of("adamw", edge) == pytest.approx(shift)
    assert shift_of("muon", edge) == 1


def test_an_empty_portfolio_has_no_recipes():
    assert moved(space_of(["adamw"])) == []


def test_what_no_entry_has_is_the_middle_or_the_first_choice():
    params = {
        "width": {"low": 16, "high": 64, "log": True},
        "layers": {"low": 1, "high": 9, "step": 2},
        "dropout": {"low": 0.0, "high": 0.3},
        "activation": ["relu", "gelu"],
    }
    (recipe,) = moved(space_of(["adagrad"], params=params), entry("adagrad", 1e-2))
    assert recipe["params"] == {"width": 32, "layers": 5, "dropout": 0.15, "activation": "relu"}


@pytest.mark.parametrize("fields", [{"sgd": {}}, {"warmup": 0.05, "schedule": 3}, []], ids=str)
def test_what_is_no_recipe_is_refused_in_one_line(fields):
    with pytest.raises(SpecError, match=r"^file: recipes\[2\]") as refused:
        Entry.read(fields, "file: recipes[2]")
    assert "\n" not in str(refused.value)


def test_an_entry_is_read_as_it_is_written():
    for each in DEFAULT:
        assert Entry.read(each.to_dict(), "portfolio") == each


def test_the_default_covers_families_and_says_its_sources():
    assert len(DEFAULT) == 12
    assert len({each.name for each in DEFAULT[:3]}) >= 2
    assert all(each.source for each in DEFAULT)
    space = parse_space("default")
    for recipe in portfolio_recipes(space, DEFAULT):
        assert recipe["schedule"]["name"] != "constant"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_recipes(name):
    found = portfolio_recipes(parse_space(name), DEFAULT)
    assert len(found) >= (2 if name == "finetune" else 6)


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_study_that_is_shipped_has_recipes(file):
    spec = StudySpec.load(file)
    found = portfolio_recipes(spec.space, DEFAULT, 64)
    assert len(found) >= 5
    for recipe in found:
        spec.recipe(recipe, batch_size=None)


def written(data, name, preset):
    """A field as a user may write it, from values that its preset could give."""
    values = [suggest(DrawnTrial(data), f"x.{name}", preset) for _ in range(2)]
    kinds = ["fixed", "choices"] if values[0] != values[1] else ["fixed"]
    if isinstance(preset, Range) and values[0] != values[1]:
        kinds += ["range", "log", "step"]
    kind = data.draw(st.sampled_from(kinds))
    if kind == "fixed":
        return values[0]
    if kind == "choices":
        return {"choices": values}
    low, high = sorted(values)
    steps = {"step": (high - low) / data.draw(st.integers(1, 7))}
    return {"low": low, "high": high, **{"range": {}, "log": {"log": low > 0}, "step": steps}[kind]}


def drawn_owners(data, registry):
    """Some of the registry's names, each with some of its fields written by hand."""
    names = data.draw(
        st.lists(st.sampled_from(list(registry)), min_size=1, max_size=4, unique=True)
    )
    return {
        name: {
            key: written(data, key, preset)
            for key, preset in registry[name].ranges.items()
            if data.draw(st.booleans())
        }
        for name in names
    }


def drawn_entries(data):
    """Entries with rates around those of the registry."""
    entries, names = [], st.sampled_from(["adamw", "sgd", "adam", "adagrad"])
    for name in data.draw(st.lists(names, min_size=1)):
        lr = OPTIMIZERS[name].ranges["lr"]
        rate = math.exp(data.draw(st.floats(math.log(lr.low / 10), math.log(lr.high * 10))))
        schedule = data.draw(st.sampled_from(["one_cycle", "linear", "wsd", "constant"]))
        entries.append(entry(name, rate, schedule, 0.0 if schedule == "one_cycle" else 0.05))
    return entries


@given(data=st.data(), size=st.sampled_from([None, 4, 64, 2048]))
def test_every_recipe_is_inside_any_space_and_none_comes_twice(data, size):
    content = {
        "optimizers": drawn_owners(data, OPTIMIZERS),
        "schedules": drawn_owners(data, SCHEDULES),
        "warmup": data.draw(st.sampled_from([0.0, [0.0, 0.05], {"low": 0.0, "high": 0.1}])),
        "params": {"width": written(data, "width", Range(low=8, high=64, integer=True))},
    }
    try:
        space = parse_space(content)
    except SpecError:
        reject()  # an illegal pair, drawn by chance
    entries = data.draw(st.sampled_from([DEFAULT, drawn_entries(data)]))
    recipes = portfolio_recipes(space, entries, size)
    assert 1 <= len(recipes) <= max(len(entries), len(space.optimizers))
    assert all(recipe not in recipes[:i] for i, recipe in enumerate(recipes))
    for recipe in recipes:
        params = space.params_of(Recipe.from_dict(recipe).to_dict(), size)
        assert params is not None
        assert space.suggest(DrawnTrial(data, params), lambda _: size).keys() == recipe.keys()
