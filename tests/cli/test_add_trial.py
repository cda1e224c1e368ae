"""`trial add` takes a recipe from a file or from a trial of the study."""

import json

import pytest
import yaml
from command import run_command, run_here

RECIPE = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "constant"}}


@pytest.mark.parametrize("options", [(), ("--recipe", "recipe.yaml", "--like", "3")])
def test_neither_or_both_are_refused_in_one_line(options, finished):
    (finished / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    ended = run_command("trial", "add", "tiny", *options, folder=finished)
    assert ended.code == 1
    assert ended.err == "Error: trial add takes one of --recipe FILE and --like N\n"


def test_what_was_added_is_trained_next(finished):
    (finished / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    for options in (("--recipe", "recipe.yaml"), ("--like", "3")):
        ended = run_command("trial", "add", "tiny", *options, folder=finished)
        assert ended.code == 0, ended.err
        assert "the budget is used: the trial starts when" in ended.out
    assert run_here("run", "tiny.yaml", "--trials", "14", folder=finished).code == 0
    rows = run_command("study", "trials", "tiny", "--json", folder=finished)
    recipes = {row["trial"]: row["recipe"] for row in json.loads(rows.out)}
    assert recipes[12]["optimizer"]["lr"] == 0.1
    assert recipes[13] == recipes[3]
