"""The arguments that a script takes, found without running it."""

import argparse

import pytest
import scripts
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.errors import SpecError
from lrsearch.starter.arguments import arguments, by_role
from lrsearch.starter.source import Source


def source(text, folder):
    path = folder / "script.py"
    path.write_text(text)
    return Source.read(path)


def roles(text, folder):
    """Role to the words of its argument with a value of 1."""
    found = by_role(arguments(source(text, folder)))
    return {role: " ".join(argument.filled("1")) for role, argument in found.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            scripts.WORDS,
            {"lr": "--lr 1", "epochs": "--epochs 1", "seed": "--seed 1", "save": "--save 1"}
            | {"batch_size": "--batch_size 1"},
        ),
        (
            scripts.TRANSFORMER,
            {"lr": "--learning_rate=1", "weight_decay": "--weight_decay=1", "dir": "--out_dir=1"}
            | {"steps": "--max_iters=1", "batch_size": "--batch_size=1"}
            | {"optimizer.beta1": "--beta1=1"},
        ),
        (
            scripts.PICTURES,
            {"lr": "--lr 1", "epochs": "--niter 1", "seed": "--manualSeed 1", "dir": "--outf 1"},
        ),
        (
            scripts.CLICK,
            {"lr": "--learning-rate 1", "epochs": "--n-epochs 1", "weight_decay": "--wd 1"},
        ),
        (
            scripts.TYPER,
            {"lr": "--lr 1", "epochs": "--epochs 1", "batch_size": "--batch-size 1"},
        ),
        (scripts.FIRE, {"lr": "--lr=1", "epochs": "--num_epochs=1", "momentum": "--momentum=1"}),
        (scripts.ABSL, {"lr": "--learning_rate=1", "seed": "--seed=1"}),
        (scripts.AUTOENCODER, {"epochs": "--epochs 1", "seed": "--seed 1"}),
        ("print('nothing')", {}),
    ],
)
def test_arguments_are_found_in_each_library(text, expected, tmp_path):
    assert roles(text, tmp_path) == expected


def test_those_of_transformers_are_known(tmp_path):
    found = roles(scripts.ARGUMENT_CLASSES, tmp_path)
    assert found["lr"] == "--learning_rate 1"
    assert found["epochs"] == "--num_train_epochs 1"
    assert found["dir"] == "--output_dir 1"


def test_hydra_assigns_the_keys_of_its_files_and_groups(tmp_path):
    conf = tmp_path / "conf"
    (conf / "optimizer").mkdir(parents=True)
    (conf / "config.yaml").write_text(
        "defaults:\n  - _self_\n  - optimizer: adam\n  - override hydra/launcher: joblib\n"
        "trainer: {epochs: 12}\nseed: 3\nhydra: {run: {dir: '${out}'}}\nname: '${seed}'\n"
    )
    (conf / "optimizer/adam.yaml").write_text("lr: 1e-3\nweight_decay: 0\n")
    found = arguments(source(scripts.HYDRA, tmp_path))
    assert {a.name: a.default for a in found} == {
        "optimizer.lr": 1e-3,
        "optimizer.weight_decay": 0,
        "trainer.epochs": 12,
        "seed": 3,
        "name": None,
    }
    assert roles(scripts.HYDRA, tmp_path)["lr"] == "optimizer.lr=1"


def test_without_files_hydra_assigns_what_the_script_reads(tmp_path):
    assert roles(scripts.HYDRA, tmp_path) == {"epochs": "trainer.epochs=1"}


def test_defaults_choices_and_what_is_required_are_read(tmp_path):
    text = """
p.add_argument("-o", "--opt", choices=["sgd", "adam"], default="sgd")
p.add_argument("--lr", dest="rate", type=float, required=True)
p.add_argument("data")
p.add_argument("more", nargs="*")
p.add_argument("--wd", default=float("inf"))
p.add_argument("--amp", action=argparse.BooleanOptionalAction)
"""
    found = {argument.name: argument for argument in arguments(source(text, tmp_path))}
    assert list(found) == ["opt", "rate", "data", "wd"]
    assert (found["opt"].default, found["opt"].choices) == ("sgd", ("sgd", "adam"))
    assert found["rate"].required
    assert found["data"].words == ("{}",)
    assert found["wd"].default is None


def test_a_subcommand_has_arguments_of_its_own(tmp_path):
    text = """
sub = parser.add_subparsers()
one = sub.add_parser("train")
one.add_argument("--lr", type=float)
two = sub.add_parser("eval")
two.add_argument("--data")
"""
    found = arguments(source(text, tmp_path))
    assert {a.name: a.subcommand for a in found} == {"lr": "train", "data": "eval"}


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"--[a-z][a-z_]{2,8}", fullmatch=True),
            st.one_of(st.none(), st.floats(0, 1), st.integers(), st.text("abc' \"", max_size=5)),
        ),
        unique_by=lambda pair: pair[0],
        max_size=5,
    )
)
def test_what_is_found_is_what_argparse_takes(tmp_path_factory, pairs):
    """The same lines run: each flag that was found is one, and has the default that was read."""
    lines = [f"parser.add_argument({flag!r}, default={default!r})" for flag, default in pairs]
    parser = argparse.ArgumentParser(add_help=False)
    exec("\n".join(lines), {"parser": parser})
    found = arguments(source("\n".join(lines) or "pass", tmp_path_factory.mktemp("script")))
    expected = {a.option_strings[0]: a.default for a in parser._actions}
    assert {argument.words[0]: argument.default for argument in found} == expected


def test_a_script_is_never_run(tmp_path):
    text = f"open({str(tmp_path / 'ran')!r}, 'w')\nparser.add_argument('--lr', default=open('x'))"
    assert roles(text, tmp_path) == {"lr": "--lr 1"}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"def f(:\n", "script.py, line 1: not the Python of this interpreter"),
        (b"\xff\xfe", "the script is not UTF-8 text"),
        (None, "cannot read the script: No such file"),
    ],
)
def test_what_is_no_script_is_one_line(content, words, tmp_path):
    path = tmp_path / "script.py"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError) as error:
        Source.read(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
