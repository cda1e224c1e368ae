"""Optimizers and schedules of a study's own files: found, hashed, refused, trained, exported."""

import importlib
import json
import math
import sys
from dataclasses import replace

import pytest
import torch
from command import run_command
from hypothesis import given
from hypothesis import strategies as st
from small import BATCH_SIZE, EPOCHS, STEPS_PER_EPOCH, TRAIN, make_model, make_recipe, make_training
from small import run as train
from torch.nn.functional import cross_entropy

from lrsearch.advice.lint import Scale, lint
from lrsearch.catalog.lookup import optimizer_info, schedule_info
from lrsearch.catalog.own import factors
from lrsearch.errors import SpecError, TaskError
from lrsearch.recipe.build_scheduler import build_schedule
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task import own_code
from lrsearch.task.find import find_task, load_task
from lrsearch.training import checkpoint_state

TASK = """
import lrsearch
import torch
from torch import nn

draws = torch.Generator().manual_seed(0)
inputs = torch.randn(128, 4, generator=draws)
targets = inputs.sum(1, keepdim=True)
task = lrsearch.Task(
    model=lambda: nn.Linear(4, 1),
    train=(inputs[:96], targets[:96]),
    validation=(inputs[96:], targets[96:]),
    loss=nn.functional.mse_loss,
    batch_size=16,
)
"""
OWN = """
from pathlib import Path

import torch
import own_helper

with (Path(__file__).parent / "runs").open("a") as file:
    file.write("run ")


class SignSGD(torch.optim.Optimizer):
    lrsearch_ranges = {"lr": {"low": 1e-3, "high": 1e-1, "log": True}}

    def __init__(self, params, lr=0.01, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                p.add_(average.sign(), alpha=-group["lr"])


class Bare(torch.optim.SGD):
    pass


class NotOne:
    pass


class Module(torch.nn.Module):
    pass


def hump(progress, peak=0.3, floor=0.0):
    up = progress / peak if progress < peak else 1.0
    down = 1.0 if progress < peak else (1 - progress) / (1 - peak)
    return floor + (1 - floor) * min(up, down)


def odd(progress, scale=1.0, kind="good"):
    if kind == "raises":
        raise ValueError("no such kind")
    return {"good": scale, "nan": float("nan"), "negative": -progress, "zero": 0.0,
            "word": "x"}[kind]


def needs(progress, power):
    return progress**power


def takes_rest(progress, **fields):
    return 1.0


def step_number(step):
    return 1.0


from torch.optim import AdamW
alias = SignSGD
"""
FILES = {"mine.py": TASK, "own.py": OWN, "own_helper.py": "x = 1", "unrelated.py": ""}
SIGN, HUMP = "own.py:SignSGD", "own.py:hump"
STUDY = {
    "name": "own",
    "task": "mine.py:task",
    "epochs": 4,
    "budget": {"trials": 4},
    "confirm": "none",
    "pruning": "none",
    "space": {
        "optimizers": {SIGN: {"momentum": {"low": 0.5, "high": 0.95}}, "own.py:Bare": {"lr": 0.1}},
        "schedules": {HUMP: {"peak": [0.2, 0.5]}},
    },
}


@pytest.fixture(autouse=True)
def _fresh_imports(monkeypatch):
    """What a test loads is forgotten, so that the next one may use the same names."""
    monkeypatch.setattr(own_code, "_LOADED", {})
    monkeypatch.setattr(own_code, "_MODULES", {})
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and "own" in name:
            del sys.modules[name]
    sys.path[:] = path
    importlib.invalidate_caches()


def write(folder, **changes):
    """The study's files, some changed; a name's dot is a double underscore."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {**FILES, **{name.replace("__", "."): text for name, text in changes.items()}}
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "study.yaml").write_text(json.dumps(STUDY))  # JSON is YAML
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "study")


@pytest.fixture
def loaded(folder):
    """The folder, its own code loaded."""
    own_code.load([SIGN, HUMP, "own.py:Bare", "own.py:odd"], folder)
    return folder


# Names


@pytest.mark.parametrize("name", ["own.py:SignSGD", "a.py:b", "../own.py:f", "x/y.py:z"])
def test_names_with_a_file_are_own(name):
    assert own_code.is_own(name)


@pytest.mark.parametrize(
    "name", ["adamw", "torch.optim.AdamW", "own.py", "package.module:f", 3, None]
)
def test_other_names_are_not(name):
    assert not own_code.is_own(name)


def test_own_names_are_found_wherever_optimizers_and_schedules_stand():
    content = {
        "task": "mine.py:task",
        "space": {
            "optimizers": {"a.py:A": {}},
            "schedules": ["b.py:b"],
            "params": {"x": ["p.py:p"]},
        },
        "baseline": {"optimizer": {"name": "c.py:C", "lr": 1}, "schedule": "d.py:d"},
        "enqueue": [
            {"optimizer": "e.py:E"},
            {"optimizer": {"name": "a.py:A"}, "params": {"k": "q.py:q"}},
        ],
        "notes": "z.py:z",
    }
    assert own_code.own_names(content) == ["a.py:A", "b.py:b", "c.py:C", "d.py:d", "e.py:E"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../own.py:SignSGD", "a file beside the study file"),
        ("below/own.py:SignSGD", "a file beside the study file"),
        ("/tmp/own.py:SignSGD", "a file beside the study file"),
        ("own.py:Sign.SGD", "a file beside the study file"),
        ("my-own.py:SignSGD", "named as modules are"),
        ("nowhere.py:SignSGD", "nowhere.py does not exist; put it beside the study file"),
        ("own.py:SignSG", "own.py defines no SignSG at its top level; did you mean 'SignSGD'?"),
        ("own.py:AdamW", "defines no AdamW at its top level"),  # imported from elsewhere
        ("own.py:alias", "defines no alias at its top level"),
        ("own.py:NotOne", "it has no base class; derive it from torch.optim.Optimizer"),
        ("own.py:step_number", "it is no function of progress; a schedule is `def step_number(pro"),
    ],
)
def test_what_is_not_defined_in_a_file_beside_the_study_is_refused_and_not_run(
    folder, name, message
):
    with pytest.raises(SpecError) as error:
        own_code.load([name], folder)
    assert str(error.value).startswith(f"{name}: ")
    assert message in str(error.value)
    assert not (folder / "runs").exists()


def test_code_that_raises_is_told_in_one_line(tmp_path):
    folder = write(tmp_path / "study", own__py=OWN + "\nraise ValueError('two\\nlines')")
    with pytest.raises(SpecError, match=r"own\.py:hump: own\.py: importing .* ValueError: two lin"):
        own_code.load([HUMP], folder)


# What signatures and attributes say


def test_fields_come_from_the_constructor_and_ranges_from_the_attribute(loaded):
    info = optimizer_info(SIGN, "o")
    assert (info.momentum, set(info.fields), info.class_name) == (
        "momentum",
        {"momentum"},
        "SignSGD",
    )
    space = parse_space({"optimizers": {SIGN: {}}, "schedules": [HUMP]})
    assert space.optimizers[SIGN]["lr"].log
    assert set(space.optimizers[SIGN]) == {"lr"}
    narrow = parse_space({"optimizers": {SIGN: {"lr": 0.5}}, "schedules": [HUMP]})
    assert narrow.optimizers[SIGN]["lr"].value == 0.5


def test_a_schedules_fields_and_defaults_are_its_arguments(loaded):
    info = schedule_info(HUMP, "s")
    assert (set(info.fields), info.defaults) == ({"peak", "floor"}, {"peak": 0.3, "floor": 0.0})


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"optimizers": ["own.py:Bare"]}, "lr is missing; own.py:Bare has no preset"),
        ({"optimizers": {SIGN: {"beta": 1}}}, f"beta is not a field of {SIGN}"),
        ({"schedules": {HUMP: {"peek": 1}}}, f"peek is not a field of {HUMP}; did you mean 'peak'"),
        ({"optimizers": [HUMP]}, "it is not a torch.optim.Optimizer"),
        ({"schedules": [SIGN]}, "is a class, but a schedule is a function of progress"),
        (
            {"schedules": {"own.py:odd": {"kind": "nan"}}},
            "own.py:odd(0, scale=1.0, kind='nan') is nan",
        ),
        ({"schedules": {"own.py:odd": {"kind": ["good", "negative"]}}}, "is -0.01, but a finite"),
        ({"schedules": {"own.py:odd": {"kind": "raises"}}}, "raised ValueError: no such kind"),
        ({"schedules": {"own.py:odd": {"kind": "word"}}}, "is 'x', but a finite number"),
        ({"schedules": {"own.py:odd": {"kind": "zero"}}}, "0 throughout"),
        (
            {
                "schedules": {
                    HUMP: {"floor": {"low": 0.0, "high": 1.0}, "peak": {"low": 0, "high": 1}}
                }
            },
            "raised ZeroDivisionError",
        ),
    ],
)
def test_a_space_that_does_not_fit_the_code_is_refused_before_any_training(loaded, space, message):
    with pytest.raises(SpecError) as error:
        parse_space({"optimizers": ["adamw"], "schedules": ["cosine"], **space})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own.py:needs", "argument power needs a default"),
        ("own.py:takes_rest", "all arguments but progress have names and defaults"),
    ],
)
def test_every_argument_beside_progress_is_a_field_with_a_default(folder, name, message):
    own_code.load([name], folder)
    with pytest.raises(SpecError, match=message):
        schedule_info(name, "s")


def test_a_schedule_above_lr_is_warned_of(loaded):
    def warned(scale):
        content = {"optimizers": ["adamw"], "schedules": {"own.py:odd": {"scale": scale}}}
        spec = StudySpec.from_dict({**STUDY, "space": content})
        lines = lint(spec, Scale(steps_per_epoch=6, batch_size=16))
        return [line for line in lines if "own.py:odd reaches" in line]

    assert warned(1.0) == []
    [line] = warned(2.5)
    assert "2.5 x lr" in line


# Exact


@given(
    steps=st.integers(1, 400),
    peak=st.floats(0.05, 0.95),
    warmup=st.sampled_from([0.0, 0.05, 0.5]),
)
def test_the_rate_of_every_step_is_lr_times_the_function_of_progress(steps, peak, warmup):
    def hump(progress, peak):
        return min(progress / peak, (1 - progress) / (1 - peak))

    own_code._LOADED["x.py:hump"] = hump
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = build_schedule(
        optimizer,
        {"name": "x.py:hump", "peak": peak},
        total_steps=steps,
        warmup=warmup,
        validations=1,
    )
    first = min(round(warmup * steps), steps - 1)
    for step in range(steps):
        if step >= first:
            factor = hump((step - first) / (steps - first), peak)
            assert optimizer.param_groups[0]["lr"] == 0.3 * factor
        optimizer.step()
        scheduler.step()


def recipe_of():
    return make_recipe(
        optimizer={"name": SIGN, "lr": 0.02, "momentum": 0.8},
        schedule={"name": HUMP, "peak": 0.4},
        seed=3,
        batch_size=BATCH_SIZE,
        ema=None,
    )


def plain_weights():
    """The same trial as a plain torch loop."""
    make, hump = own_code.loaded(SIGN), own_code.loaded(HUMP)
    torch.manual_seed(3)
    model = make_model().train()
    optimizer = make(model.parameters(), lr=0.02, momentum=0.8)
    total = EPOCHS * STEPS_PER_EPOCH
    shape = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: hump(step / total, peak=0.4))
    for epoch in range(EPOCHS):
        generator = torch.Generator().manual_seed(3 * 1_000_003 + epoch)
        order = torch.randperm(len(TRAIN[0]), generator=generator)
        for batch in order[: STEPS_PER_EPOCH * BATCH_SIZE].split(BATCH_SIZE):
            optimizer.zero_grad()
            cross_entropy(model(TRAIN[0][batch]), TRAIN[1][batch]).backward()
            optimizer.step()
            shape.step()
    return model.state_dict()


def test_a_trial_equals_the_plain_loop_interrupted_or_not(loaded):
    whole = make_training(recipe_of())
    expected = train(whole)
    for key, tensor in plain_weights().items():
        assert torch.equal(whole.model.state_dict()[key], tensor)
    first = make_training(recipe_of())
    rows = train(first, until=10)
    data = checkpoint_state.pack(first)
    second = make_training(recipe_of())
    assert checkpoint_state.unpack(second, data) == []
    rows += train(second)
    assert [replace(row, seconds=0.0) for row in rows] == [
        replace(row, seconds=0.0) for row in expected
    ]


# The study's code


def test_own_files_and_what_they_import_are_in_the_recorded_code(folder):
    spec = StudySpec.load(folder / "study.yaml")
    task = load_task("mine.py:task", folder, spec.own_names())
    assert sorted(task.code) == ["mine.py", "own.py", "own_helper.py"]
    assert sorted(load_task("mine.py:task", folder).code) == ["mine.py"]
    assert (folder / "runs").read_text() == "run "  # once, for spec and task


def test_a_task_in_a_folder_below_has_own_code_beside_the_study_file(folder):
    write(folder / "below")
    task = load_task("below/mine.py:task", folder, [SIGN])
    assert sorted(task.code) == ["./own.py", "./own_helper.py", "mine.py"]


@pytest.mark.parametrize("changed", ["own.py", "own_helper.py", "unrelated.py"])
def test_a_worker_takes_the_folder_whose_own_code_is_the_studys(folder, tmp_path, changed):
    code = load_task("mine.py:task", folder, [SIGN, HUMP]).code
    other = write(tmp_path / "other")
    (other / changed).write_text((other / changed).read_text() + "\n# changed")
    found = find_task("mine.py:task", code, [other, folder], strict=True, own=[SIGN, HUMP])
    assert found.source.parent == (other if changed == "unrelated.py" else folder)
    assert (other / "runs").exists() == (changed == "unrelated.py")


def test_a_worker_without_the_file_says_where_it_looked(folder, tmp_path):
    code = load_task("mine.py:task", folder, [SIGN]).code
    other = write(tmp_path / "other")
    (other / "own.py").unlink()
    with pytest.raises(TaskError, match=r"other.own\.py: not there"):
        find_task("mine.py:task", code, [other], strict=True, own=[SIGN])


def test_code_that_the_database_names_but_the_study_did_not_hash_is_not_run(folder):
    code = load_task("mine.py:task", folder).code
    with pytest.raises(TaskError, match="no task mine"):
        find_task("mine.py:task", code, [folder], strict=True, own=[SIGN])
    assert not (folder / "runs").exists()


def test_a_recipe_with_another_file_than_the_studys_is_refused(loaded):
    spec = StudySpec.load(loaded / "study.yaml")
    for fields in (
        {"optimizer": {"name": "unrelated.py:Opt", "lr": 0.1}},
        {"optimizer": {"name": "adamw", "lr": 0.1}, "schedule": {"name": "unrelated.py:f"}},
    ):
        assert not spec.declares(fields)
        with pytest.raises(SpecError, match=r"'unrelated\.py:\w+' is no \w+ of the study"):
            spec.recipe(fields, batch_size=16)


# Where the file is not


def test_a_reader_without_the_file_knows_the_recipe_and_cannot_build_it(loaded, monkeypatch):
    content, stored = recipe_of().to_dict(), StudySpec.load(loaded / "study.yaml").to_dict()
    monkeypatch.setattr(own_code, "_LOADED", {})
    recipe = Recipe.from_dict(content)
    assert recipe.to_dict() == content
    assert SIGN in recipe.title()
    assert StudySpec.from_stored(stored).to_dict() == stored
    assert factors(HUMP, {}) == []
    with pytest.raises(TaskError, match=r"own\.py:SignSGD is not loaded"):
        recipe.build(make_model(), steps_per_epoch=6)
    with pytest.raises(SpecError, match="its file is not loaded; put it beside the study file"):
        parse_space({"optimizers": {SIGN: {"lr": 0.1}}})


def test_a_recipe_file_beside_the_code_is_loaded_with_it(loaded, monkeypatch):
    recipe_of().save(loaded / "recipe.yaml")
    monkeypatch.setattr(own_code, "_LOADED", {})
    recipe = Recipe.load(loaded / "recipe.yaml")
    optimizer, scheduler = recipe.build(make_model(), steps_per_epoch=6)
    assert type(optimizer).__name__ == "SignSGD"
    assert isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR)


# In processes of their own


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the study, searched by a worker process."""
    folder = write(tmp_path_factory.mktemp("own") / "study")
    ended = run_command("run", "study.yaml", "--workers", "1", folder=folder, OMP_NUM_THREADS="1")
    assert ended.code == 0, ended.err
    return folder


def test_a_study_of_own_code_trains_in_worker_processes(finished):
    ended = run_command("study", "trials", "own", "--json", folder=finished)
    found = json.loads(ended.out)
    assert [trial["state"] for trial in found] == ["complete"] * 4
    assert {trial["recipe"]["schedule"]["name"] for trial in found} == {HUMP}
    assert all(math.isfinite(trial["value"]) for trial in found)


def test_the_exported_script_imports_the_file_and_repeats_the_trial(finished, monkeypatch):
    command = ("export", "own", "--format", "torch", "--trial", "0")
    ended = run_command(*command, folder=finished)
    assert ended.code == 0, ended.err
    (finished / "exported_own.py").write_text(ended.out)
    trials = json.loads(run_command("study", "trials", "own", "--json", folder=finished).out)
    monkeypatch.syspath_prepend(finished)
    names: dict = {}
    exec(compile(TASK, "mine.py", "exec"), names)
    task = names["task"]
    exported = importlib.import_module("exported_own")
    torch.set_num_threads(1)
    _, rows = exported.train(task.model, task.train, task.validation, task.loss)
    assert min(row["val_loss"] for row in rows) == trials[0]["value"]


def test_where_the_file_is_not_reports_are_written_and_the_script_is_refused(finished, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    storage = f"sqlite:///{finished / 'lrsearch.db'}"
    for command in (("report", "own"), ("study", "show", "own"), ("export", "own")):
        ended = run_command(*command, "--storage", storage, folder=elsewhere)
        assert ended.code == 0, ended.err
    ended = run_command(
        "export", "own", "--format", "torch", "--trial", "0", "--storage", storage, folder=elsewhere
    )
    assert ended.code == 1
    assert ended.err.startswith("Error: format torch needs own.py:")
    write(elsewhere, own__py=OWN + "# other code")
    ended = run_command("worker", "own", "--storage", storage, folder=elsewhere)
    assert ended.code == 1
    assert "no task mine.py:task with the study's code" in ended.err
    assert not (elsewhere / "runs").exists()
