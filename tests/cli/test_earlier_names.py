"""Earlier names of commands and options still work; one line on stderr says the new name."""

import json

import pytest
import yaml
from command import run_command, run_here

RECIPE = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "constant"}}

#: Command line, what it says on stderr, and what its output has.
COMMANDS = [
    ("workers tiny", "`lrsearch workers` is now `lrsearch status`", "nobody works on tiny"),
    (
        "study stop tiny",
        "`lrsearch study stop` is now `lrsearch study finish`",
        "study tiny starts no more trials",
    ),
    (
        "trial rerun tiny 3",
        "`lrsearch trial rerun` is now `lrsearch trial add tiny --like 3`",
        "added to tiny: ",
    ),
    (
        "trial enqueue tiny recipe.yaml",
        "`lrsearch trial enqueue` is now `lrsearch trial add tiny --recipe recipe.yaml`",
        "added to tiny: sgd lr 0.1",
    ),
]


def said(ended):
    """The lines on stderr of a command that succeeded, without that it loads PyTorch."""
    assert ended.code == 0, ended.err
    return [line for line in ended.err.splitlines() if line != "loading PyTorch ..."]


@pytest.mark.parametrize(("words", "line", "output"), COMMANDS, ids=[c[0] for c in COMMANDS])
def test_an_earlier_command(words, line, output, finished):
    (finished / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    ended = run_command(*words.split(), folder=finished)
    assert said(ended) == [line]
    assert output in ended.out


def test_top_is_candidates(finished):
    words = ("confirm", "tiny", "--runs", "2", "--json")
    ended = run_here(*words, "--top", "1", folder=finished)
    assert said(ended) == ["`--top` is now `--candidates`"]
    assert len(json.loads(ended.out)) == 1


@pytest.fixture
def elsewhere(finished, tmp_path):
    """A folder from which the finished study's worker does not find its task by itself."""
    (tmp_path / "elsewhere").mkdir()
    (finished / "lrsearch.db").rename(tmp_path / "elsewhere" / "lrsearch.db")
    return tmp_path / "elsewhere"


def test_studies_is_task_dir(elsewhere, finished):
    ended = run_command("worker", "tiny", "--studies", finished, folder=elsewhere)
    assert said(ended) == ["`--studies` is now `--task-dir`"]


def test_the_variable_of_studies_is_that_of_task_dir(elsewhere, finished):
    ended = run_command("worker", "tiny", folder=elsewhere, LRSEARCH_STUDIES=str(finished))
    assert said(ended) == ["`LRSEARCH_STUDIES` is now `LRSEARCH_TASK_DIR`"]


def test_the_new_variable_says_nothing(elsewhere, finished):
    ended = run_command("worker", "tiny", folder=elsewhere, LRSEARCH_TASK_DIR=str(finished))
    assert said(ended) == []


def test_without_either_the_task_is_not_found(elsewhere):
    ended = run_command("worker", "tiny", folder=elsewhere)
    assert ended.code == 1
    assert "tiny.py" in ended.err


def test_the_new_option_outweighs_the_earlier_one(elsewhere, finished):
    words = ("worker", "tiny", "--studies", "absent", "--task-dir", finished)
    assert said(run_command(*words, folder=elsewhere)) == ["`--studies` is now `--task-dir`"]


@pytest.mark.parametrize(
    ("group", "hidden"),
    [
        ("", ["workers", "--studies"]),
        ("study", ["stop"]),
        ("trial", ["enqueue", "rerun"]),
        ("worker", ["--studies", "LRSEARCH_STUDIES"]),
        ("confirm", ["--top", "--studies"]),
    ],
)
def test_help_shows_new_names_only(group, hidden, folder):
    ended = run_command(*group.split(), "--help", folder=folder)
    assert ended.code == 0
    starts = {line.split()[0] for line in ended.out.splitlines() if line.startswith("  ")}
    assert not starts & set(hidden)
    assert not [name for name in hidden if name.startswith(("-", "L")) and name in ended.out]
