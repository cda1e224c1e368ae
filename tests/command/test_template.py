"""Placeholders of a command, and the values of a trial in their place."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.command.template import (
    OF_RUN,
    SHORT,
    TemplateValues,
    fill,
    long_form,
    no_value,
    placeholders,
    placeholders_without_value,
    written,
)
from lrsearch.errors import SpecError

VALUES = TemplateValues(
    optimizer={"name": "adamw", "lr": 1e-5, "betas": (0.9, 0.999), "amsgrad": False},
    schedule={"name": "one_cycle", "pct_start": 0.3, "milestones": (0.5, 0.75)},
    warmup=0.05,
    params={"width": 64, "model.depth": 2, "act": "relu"},
    seed=7,
    epochs=8,
    steps=None,
    dir="trials/3",
    recipe="trials/3/recipe.json",
)


@pytest.mark.parametrize(
    ("argument", "filled"),
    [
        ("--lr={lr}", "--lr=1e-05"),
        ("optim.lr={optimizer.lr}", "optim.lr=1e-05"),
        ("{optimizer}", "adamw"),
        ("{schedule}-{schedule.pct_start}", "one_cycle-0.3"),
        ("{optimizer.beta1}/{optimizer.beta2}", "0.9/0.999"),
        ("[{optimizer.betas}]", "[0.9,0.999]"),
        ("[{schedule.milestones}]", "[0.5,0.75]"),
        ("{optimizer.amsgrad}", "false"),
        ("{width} {params.width} {model.depth} {act}", "64 64 2 relu"),
        ("{warmup} {seed} {epochs}", "0.05 7 8"),
        ("{dir}/last.pt", "trials/3/last.pt"),
        ("{recipe}", "trials/3/recipe.json"),
        ('{{"lr": {lr}, "deep": {{}}}}', '{"lr": 1e-05, "deep": {}}'),
        ("{{{lr}}}", "{1e-05}"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_values_stand_in_the_place_of_placeholders(argument, filled):
    assert fill([argument], VALUES, {}) == [filled]


def test_a_whole_number_of_epochs_is_written_as_one():
    assert fill(["{epochs}"], replace(VALUES, epochs=8.0), {}) == ["8"]
    assert fill(["{epochs}"], replace(VALUES, epochs=0.5), {}) == ["0.5"]


def test_a_json_argument_is_json():
    (argument,) = fill(['{{"optim": {{"lr": {lr}, "name": "{optimizer}"}}}}'], VALUES, {})
    assert json.loads(argument) == {"optim": {"lr": 1e-5, "name": "adamw"}}


def test_a_list_is_one_process_argument_each_whatever_it_holds(tmp_path):
    values = replace(VALUES, params={"act": "a b; $HOME `x` \"q\" 'r' *"})
    argv = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "{act}", "--lr={lr}"]
    out = subprocess.run(fill(argv, values, {}), capture_output=True, text=True, check=True).stdout
    assert out.strip() == repr(["a b; $HOME `x` \"q\" 'r' *", "--lr=1e-05"])


def test_the_scripts_own_words_are_written():
    names = {
        "optimizer.name": {"adamw": "AdamW"},
        "optimizer.amsgrad": {"true": "--amsgrad", "false": ""},
        "optimizer.momentum": {"none": "0"},
        "params.width": {"64": "small"},
    }
    argv = ["{optimizer}", "{optimizer.amsgrad}", "--m={momentum}", "{width}", "{act}"]
    assert fill(argv, VALUES, names) == ["AdamW", "--m=0", "small", "relu"]


def test_an_empty_text_that_is_searched_stays_an_argument():
    assert fill(["{act}"], replace(VALUES, params={"act": ""}), {}) == [""]


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("--lr={lr", "'--lr={lr' holds a '{' that is never closed"),
        ("lr}", "'lr}' holds a '}' that is never opened"),
        ("{}", "holds '{}', which is no placeholder"),
        ("{lr:.3f}", "holds '{lr:.3f}', which is no placeholder"),
        ("{ lr }", "no placeholder"),
        ("{optimizer.}", "no placeholder"),
        ('{"lr": 1}', "write {{ and }} for braces as they are"),
    ],
)
def test_a_brace_that_is_no_placeholders_is_named(argument, problem):
    for call in (lambda: placeholders([argument]), lambda: fill([argument], VALUES, {})):
        with pytest.raises(SpecError) as error:
            call()
        assert problem in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("{learning_rate}", "command: {learning_rate} has no value here; did you mean {lr}?"),
        ("{widht}", "command: {widht} has no value here; did you mean 'width'?"),
        ("{momentum}", "{momentum} has no value here"),
        ("{steps}", "{steps} has no value here"),
        ("{optimizer.lrr}", "did you mean"),
    ],
)
def test_a_placeholder_without_value_is_an_error_that_says_what_there_is(argument, hint):
    with pytest.raises(SpecError) as error:
        fill([argument], VALUES, {})
    assert hint in str(error.value)
    assert "\n" not in str(error.value)


def test_placeholders_need_values():
    argv = ["{lr}", "{seed}", "{width}", "{optimizer.beta2}"]
    assert placeholders_without_value(["optimizer.lr"], argv) == ["params.width", "optimizer.beta2"]
    assert (
        placeholders_without_value(["optimizer.lr", "params.width", "optimizer.betas"], argv) == []
    )
    assert "did you mean {weight_decay}" in no_value(
        "params.wd", ["optimizer.lr", "optimizer.weight_decay"]
    )


identifiers = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
fields = st.one_of(
    st.sampled_from([*OF_RUN, *SHORT.values()]),
    identifiers.map("params.{}".format),
    identifiers.map("optimizer.{}".format),
    identifiers.map("schedule.{}".format),
)
literals = st.text(st.characters(exclude_characters="\0"), max_size=6)


@given(fields)
def test_the_short_form_means_the_long_one(field):
    assert long_form(written(field)[1:-1]) == field
    assert long_form(field) == field
    assert len(written(field)) <= len(field) + 2


@given(st.lists(st.lists(st.one_of(literals, fields.map(lambda f: (f,))), max_size=5), max_size=4))
def test_what_is_put_together_is_found_and_filled(arguments):
    """Each argument is a list of literal texts and fields; `str.format` is the reference."""

    def text(part):
        if isinstance(part, tuple):
            return written(part[0])
        return part.replace("{", "{{").replace("}", "}}")

    argv = ["".join(map(text, argument)) for argument in arguments]
    named = [part[0] for argument in arguments for part in argument if isinstance(part, tuple)]
    assert placeholders(argv) == list(dict.fromkeys(named))

    owned = {"optimizer": {}, "schedule": {}, "params": {}}
    for number, field in enumerate(named):
        owner, _, name = field.partition(".")
        if name:
            owned[owner][name] = number / 7
    values = replace(VALUES, **owned, steps=3)

    def expected(part):
        if not isinstance(part, tuple):
            return part
        owner, _, name = part[0].partition(".")
        value = owned[owner][name] if name else getattr(values, owner)
        return format(value if isinstance(value, int | float) else str(value))

    assert fill(argv, values, {}) == ["".join(map(expected, argument)) for argument in arguments]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_the_same_number(number):
    (written_number,) = fill(["{lr}"], replace(VALUES, optimizer={"lr": number}), {})
    assert float(written_number) == number
    assert written_number == repr(number)
