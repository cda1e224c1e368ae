"""`lrsearch export`: files, folders, other horizons, and what it refuses."""

import pytest
import yaml
from command import run_command

from lrsearch.export import FORMATS
from lrsearch.recipe.recipe import Recipe


def export(folder, *words):
    return run_command("export", "tiny", *words, folder=folder)


def test_a_stretched_schedule_keeps_lr_and_says_what_that_may_cost(finished):
    own = yaml.safe_load(export(finished).out)
    ended = export(finished, "--epochs", "32", "--out", "long.yaml")
    assert ended.code == 0, ended.err
    recipe = Recipe.load(finished / "long.yaml")
    assert (recipe.epochs, recipe.lr) == (32, own["optimizer"]["lr"])
    note = "from 4 to 32 epochs (8 times) and lr kept, but the best lr may move with the horizon"
    assert note in ended.err
    assert "0 to 139 % worse" in ended.err
    assert note in (finished / "long.yaml").read_text(encoding="utf-8")


def test_the_own_length_has_no_note(finished):
    assert export(finished, "--epochs", "4").out == export(finished).out
    assert "may move" not in export(finished, "--epochs", "4").err


def test_another_batch_size_is_refused_in_one_line(finished):
    size = yaml.safe_load(export(finished).out)["batch_size"]
    assert export(finished, "--batch-size", size).code == 0
    ended = export(finished, "--batch-size", 8 * size)
    assert (ended.code, ended.out) == (1, "")
    assert f"from batch size {size} has not been measured" in ended.err
    assert ended.err.count("\n") == 1


def test_a_folder_gets_the_file_of_the_format(finished):
    (finished / "recipes").mkdir()
    ended = export(finished, "--format", "torch", "--out", "recipes")
    assert ended.err == "wrote recipes/best.py\n"
    assert "def build(" in (finished / "recipes" / "best.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["command", "shell"])
def test_a_task_has_no_command(name, finished):
    ended = export(finished, "--format", name)
    assert ended.code == 1
    assert "this one has a task; use --format torch" in ended.err
    assert ("is now `--format command`" in ended.err) == (name == "shell")


def test_the_help_names_every_format(finished):
    text = " ".join(export(finished, "--help").out.split())
    assert all(name in text for name in FORMATS)
