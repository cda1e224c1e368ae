"""Help and README say what is so: commands parse, files exist, snippets work."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from lrsearch.catalog.domains import Fixed, Range
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.cli import cli
from lrsearch.preflight import check_file
from lrsearch.space.presets import PRESETS
from lrsearch.spec.study_spec import StudySpec

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SPACE = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
STUDY = {"name": "snippet", "task": "task.py:task", "epochs": 3, "budget": {"trials": 3}}


def walk(command, path=("lrsearch",)):
    """Every command and group with the words that call it."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*path, name))


COMMANDS = {" ".join(path): command for path, command in walk(cli)}


def parsed(line):
    """The command that a line calls; raises if it has no such command, option or argument."""
    command, path, words = cli, ["lrsearch"], shlex.split(line, comments=True)[1:]
    while isinstance(command, click.Group):
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    command.make_context(path[-1], words, resilient_parsing=False)
    return " ".join(path)


def snippets(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def section(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# Help


@pytest.mark.parametrize("path", COMMANDS)
def test_help_says_what_a_command_does_and_closes_with_an_example(path):
    text, _, example = COMMANDS[path].help.partition("Example:\n")
    assert len(text.split()) >= 3
    called = parsed(example.strip())
    assert called == path or called.startswith(f"{path} ")


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_explained(path):
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{path} {parameter.opts[-1]} has no help"


# README


@pytest.mark.parametrize(
    "path", [path for path, command in COMMANDS.items() if not isinstance(command, click.Group)]
)
def test_every_command_stands_in_the_readme(path):
    assert re.search(rf"`{path}[ `]", section("Commands"))


def calls():
    """Everything in the README that looks like a call of lrsearch."""
    lines = [line for text in snippets("sh") for line in re.split(r"\n|&&", text)]
    words = re.findall(r"`(lrsearch [^`]*)`", README)
    return [line.strip() for line in [*lines, *words] if line.strip().startswith("lrsearch ")]


@pytest.mark.parametrize("line", calls())
def test_every_call_in_the_readme_parses(line):
    assert parsed(line) in COMMANDS if len(line.split()) > 2 else line in COMMANDS


@pytest.mark.parametrize(
    "line",
    [
        "pip install -c constraints.txt . && lrsearch run studies/digits.yaml",
        "pip install -c constraints.txt -e '.[test]' && pytest",
    ],
)
def test_the_two_commands_stand_in_the_readme(line):
    assert f"\n{line}\n" in README


def test_the_file_map_names_every_module_and_nothing_else():
    named = set(re.findall(r"`(lrsearch/[\w./]*)`", section("Files")))
    package = ROOT / "lrsearch"
    modules = {f"lrsearch/{path.name}" for path in package.glob("*.py")}
    packages = {f"lrsearch/{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert named == modules | packages


def test_the_folders_of_the_file_map_exist():
    for name in re.findall(r"`(\w+/)`", section("Files")):
        assert (ROOT / name).is_dir(), name


@pytest.mark.parametrize("text", snippets("yaml"))
def test_the_study_files_of_the_readme_are_accepted(text):
    content = yaml.safe_load(text)
    StudySpec.from_dict({**STUDY, **content})


def test_what_the_readme_calls_defaults_are_the_defaults():
    (content,) = [yaml.safe_load(text) for text in snippets("yaml") if "validate_every" in text]
    shown = {k: v for k, v in content.items() if k not in ("space", "enqueue", "warm_start")}
    required = {key: content[key] for key in ("name", "task", "epochs", "budget")}
    assert StudySpec.from_dict(shown) == StudySpec.from_dict(required)


@pytest.mark.parametrize("text", snippets("python"))
def test_the_python_of_the_readme_compiles(text):
    compile(text, "README.md", "exec")


def test_the_model_of_the_readme_trains(tmp_path):
    (code,) = [text for text in snippets("python") if "\ndef task(" in text]
    (study,) = [text for text in snippets("yaml") if "name: mine" in text]
    (tmp_path / "my_task.py").write_text(code)
    (tmp_path / "mine.yaml").write_text(study)
    assert check_file(tmp_path / "mine.yaml", device="cpu").steps_per_epoch == 50


def rows(column):
    """The table whose first column has this head: name to the names in the rest of its row."""
    table = SPACE.partition(f"| {column} |")[2].partition("\n\n")[0]
    found = re.findall(r"^\| `(\w+)` \|(.*)\|$", table, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", text)) for name, text in found}


def test_the_table_of_further_fields_is_complete():
    everywhere = {"weight_decay", "weight_decay_exclude_1d"}
    expected = {}
    for name, info in OPTIMIZERS.items():
        fields = {key for key in info.searchable() if key != "fused" or info.fused}
        assert everywhere <= fields or name == "rprop"
        expected[name] = fields - info.ranges.keys() - everywhere
    assert rows("further fields of") == expected


def test_the_table_of_schedules_is_complete():
    expected = {name: set(info.fields) for name, info in SCHEDULES.items()}
    assert rows("schedule") == expected


def ranges_of_docs():
    """(optimizer, field) to the range that docs/space.md states."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w{2,})` \| ([^|`]*) \|", SPACE, re.MULTILINE)
    return {(optimizer, field): domain for optimizer, field, domain in rows}


def in_words(domain):
    """A domain as the docs write it, in torch's units."""
    if isinstance(domain, Range):
        ends = (domain.low, domain.high)
        if domain.unit == "complement":
            ends = (1 - domain.high, 1 - domain.low)
        return "{:g}..{:g}".format(*ends)
    values = [domain.value] if isinstance(domain, Fixed) else domain.choices
    words = [str(v).lower() if isinstance(v, bool) else f"{v:g}" for v in values]
    return " or ".join(words)


def test_the_ranges_of_the_docs_are_those_of_the_registry():
    assert ranges_of_docs() == {
        (optimizer, field): in_words(domain)
        for optimizer, info in OPTIMIZERS.items()
        for field, domain in info.ranges.items()
    }


def test_the_presets_are_described():
    table = SPACE.partition("| preset |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(PRESETS)


def test_the_default_space_is_described():
    sentence = README.partition("`space: default` is ")[2].partition(".")[0]
    default = PRESETS["default"]
    assert set(re.findall(r"`(\w+)`", sentence)) == {*default.optimizers, *default.schedules}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_resolve(name):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / name).read_text("utf-8")):
        assert (ROOT / target).exists(), target
