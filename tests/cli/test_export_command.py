"""`lrsearch export`: files, folders, other horizons, and what it refuses."""

import json

import pytest
import small
import yaml
from command import run_command

from lrsearch.errors import SpecError
from lrsearch.export import FORMATS
from lrsearch.export.changed import changed
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


def test_a_batch_size_beside_batches_of_the_task_is_refused():
    recipe = small.make_recipe(batch_size=None)
    with pytest.raises(
        SpecError, match=r"^--batch-size 8: the recipe has no batch size of its own"
    ):
        changed(recipe, epochs=None, batch_size=8, steps_per_epoch=6)


def test_the_json_document_has_the_text_the_path_and_what_is_lost(finished):
    ended = export(finished, "--format", "yaml", "--epochs", "8", "--json")
    document = json.loads(ended.out)
    assert ended.err == ""
    assert document.keys() == {"format", "path", "text", "lost", "warnings"}
    assert (document["format"], document["path"], document["lost"]) == ("yaml", None, [])
    assert document["text"] == export(finished, "--epochs", "8").out
    assert "may move with the horizon" in document["warnings"][0]
    ended = export(finished, "--format", "torch", "--out", "written.py", "--json")
    document = json.loads(ended.out)
    path = finished / "written.py"
    assert document["path"] == str(path)
    assert document["text"] == path.read_text(encoding="utf-8")


def test_a_trial_that_did_not_reach_its_end_is_exported_with_a_warning(finished):
    rows = json.loads(run_command("study", "trials", "tiny", "--json", folder=finished).out)
    for state in ("pruned", "diverged", "complete"):
        number = next(row["trial"] for row in rows if row["state"] == state)
        ended = export(finished, "--trial", number)
        note = f"trial {number} is {state}: its recipe was not trained to its end"
        assert (note in ended.err) == (note in ended.out) == (state != "complete")


BAD = {
    "--trial 99": "study 'tiny' has no trial 99; its trials are 0 to 11",
    "--trial -1": "study 'tiny' has no trial -1; its trials are 0 to 11",
    "--format tor": "format = 'tor' is none of export's; did you mean 'torch'?",
    "--out missing/best.yaml": "--out missing/best.yaml: No such file or directory; name a file",
}


@pytest.mark.parametrize("words", BAD)
def test_what_cannot_be_exported_ends_in_one_line(words, finished):
    for more in ((), ("--json",)):
        ended = export(finished, *words.split(), *more)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(f"Error: {BAD[words]}")
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
