"""Commands as study files give them: lists, never lines for a shell."""

import pytest
import yaml

from lrsearch.command.arguments import arguments_of, names_of
from lrsearch.errors import SpecError

ACCEPTED = [
    (["python", "-u", "main.py", "--lr", "{lr}"], ("python", "-u", "main.py", "--lr", "{lr}")),
    (["main", "--epochs", 8, "--eps", 1e-08], ("main", "--epochs", "8", "--eps", "1e-08")),
    ("python train.py  --lr {lr}", ("python", "train.py", "--lr", "{lr}")),
    ("python train.py optim.lr={lr} +x=[1,2]", ("python", "train.py", "optim.lr={lr}", "+x=[1,2]")),
]


@pytest.mark.parametrize(("content", "argv"), ACCEPTED)
def test_a_list_and_a_line_of_plain_words_are_arguments(content, argv):
    assert arguments_of(content) == argv


REFUSED = [
    ("python a.py | tee log", "holds '|'; no shell reads it; put the line into a script"),
    ("python a.py --lr {lr} > log", 'write [sh, train.sh, "{lr}"]'),
    ("python a.py --x '1 2'", 'write it as a list: [python, a.py, --x, "1 2"]'),
    ("cd src && python a.py", "holds '&'"),
    ("python a.py $HOME", "holds '$'"),
    ("python *.py", "holds '*'"),
    ("python a.py `date`", "holds '`'"),
    ("python a.py '", 'holds "\'"'),
    ("A=1 python a.py", "write [env, A=1, python, a.py]"),
    ("", "names no program"),
    ([], "names no program"),
    (["", "a"], "names no program"),
    (None, "a list of arguments is needed"),
    (7, "a list of arguments is needed"),
    ({"lr": 1}, "a list of arguments is needed"),
    (["a", True], "command[1] is true to YAML; put the argument in quotes"),
    (["a", None], "command[1] is none to YAML"),
    (
        ["a", {"lr": None}],
        'command[1] is a mapping; YAML needs quotes around a placeholder: "{lr}"',
    ),
    (["a", ["b"]], "command[1] = ['b'], but a text or a number is needed"),
    (["a", "b\0"], "NUL"),
    (["a", "{lr"], "never closed"),
    (["a", float("nan")], "a text or a number is needed"),
]


@pytest.mark.parametrize(("content", "problem"), REFUSED)
def test_anything_else_is_refused_in_one_line_with_what_to_write(content, problem):
    with pytest.raises(SpecError) as error:
        arguments_of(content)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_the_list_that_an_error_offers_is_yaml_with_the_same_words():
    with pytest.raises(SpecError) as error:
        arguments_of("python a.py --x '{lr} \"a\" on' yes")
    offered = str(error.value).partition("write it as a list: ")[2]
    assert yaml.safe_load(offered) == ["python", "a.py", "--x", '{lr} "a" on', "yes"]


def test_an_unquoted_placeholder_of_a_yaml_list_is_explained():
    content = yaml.safe_load("[python, a.py, --lr, {optimizer.lr}]")
    with pytest.raises(SpecError, match=r'"\{optimizer.lr\}"'):
        arguments_of(content)


def test_names_are_read_as_texts_under_the_long_form():
    content = yaml.safe_load(
        "{optimizer: {adamw: AdamW}, width: {32: 5}, optimizer.nesterov: {true: --n, false: ''}}"
    )
    assert names_of(content) == {
        "optimizer.name": {"adamw": "AdamW"},
        "params.width": {"32": "5"},
        "optimizer.nesterov": {"true": "--n", "false": ""},
    }


@pytest.mark.parametrize("content", [[], "x", {"optimizer": "AdamW"}, {"optimizer": {"a": ["b"]}}])
def test_names_of_another_form_are_refused_in_one_line(content):
    with pytest.raises(SpecError, match=r"names.* is needed"):
        names_of(content)


def test_words_that_are_no_command_may_begin_as_they_like():
    words = arguments_of(["ckpt={dir}/last.ckpt"], "resume_args", program=False)
    assert words == ("ckpt={dir}/last.ckpt",)
    with pytest.raises(SpecError, match=r"write \[env, .*ckpt="):
        arguments_of(["ckpt={dir}/last.ckpt"])
