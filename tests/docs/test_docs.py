"""Help, README and the reference are complete and say what is so."""

import re
import shlex

import click
import pytest
import yaml
from pages import ROOT, parse, steps

from lrsearch.catalog.domains import Fixed, Range
from lrsearch.catalog.known_classes import KNOWN_CLASSES
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.cli import cli
from lrsearch.space.presets import PRESETS
from lrsearch.spec.initial_weights import InitialWeights
from lrsearch.spec.parts import (
    Budget,
    Checkpointing,
    Confirm,
    Ema,
    Lease,
    Objective,
)
from lrsearch.spec.program import End
from lrsearch.spec.pruning import Pruning
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.transfer_field import Transfer

README = (ROOT / "README.md").read_text(encoding="utf-8")
SPACE = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
STUDY_FILE = ROOT / "docs/reference/study-file.md"
#: Fields that are mappings of their own.
PARTS = {
    "objective": Objective,
    "pruning": Pruning,
    "confirm": Confirm,
    "ema": Ema,
    "checkpoints": Checkpointing,
    "lease": Lease,
    "init": InitialWeights,
    "end": End,
    "transfer": Transfer,
}


def walk(command, path=("lrsearch",)):
    """Every command and group with the words that call it; old names are left out."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from walk(below, (*path, name))


COMMANDS = {" ".join(path): command for path, command in walk(cli)}


# Help


@pytest.mark.parametrize("path", COMMANDS)
def test_help_says_what_a_command_does_and_closes_with_an_example(path):
    text, _, example = COMMANDS[path].help.partition("Example:\n")
    assert len(text.split()) >= 3
    called = parse(shlex.split(example))
    inside = [command for name, command in COMMANDS.items() if f"{name} ".startswith(f"{path} ")]
    assert called in inside


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_explained(path):
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{path} {parameter.opts[-1]} has no help"


# README


def table_of_commands():
    return re.findall(r"^\| `(lrsearch [^`]*)` \|", README, re.MULTILINE)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 180


def test_the_readme_names_ten_commands_that_exist():
    assert len({parse(call.split()) for call in table_of_commands()}) == 10


@pytest.mark.parametrize(
    "line",
    [
        "pip install -c constraints.txt '.[examples]' && lrsearch run studies/digits.yaml",
        "pip install -c constraints.txt -e '.[test]' && pytest",
    ],
)
def test_the_two_commands_stand_in_the_readme(line):
    assert f"\n{line}\n" in README


# The study file


def example():
    """The study file of the reference, which has every field."""
    (text,) = [step.text for step in steps(STUDY_FILE) if step.file == "example.yaml"]
    return yaml.safe_load(text)


def test_the_study_file_of_the_reference_shows_the_defaults():
    content = example()
    required = {key: content[key] for key in ("name", "task", "epochs", "budget")}
    assert StudySpec.from_dict(content) == StudySpec.from_dict(required)
    # `steps` stands in place of epochs.
    assert set(content) == set(StudySpec.model_fields) - {"steps"}


def test_the_reference_explains_every_field():
    text = STUDY_FILE.read_text(encoding="utf-8")
    explained = {
        name for line in text.splitlines() for name in re.findall(r"^\| `([\w.]+)` \|", line)
    }
    fields = set(StudySpec.model_fields)
    for part, model in PARTS.items():
        fields |= {f"{part}.{name}" for name in model.model_fields}
    fields -= {"budget", "end", "lease", "objective.metric", "objective.direction"}
    budget = {f"budget.{name}" for name in Budget.model_fields}
    assert fields - explained - budget == set()
    assert set(Budget.model_fields) <= explained


# The packages


def test_the_page_of_packages_names_each():
    text = (ROOT / "docs/reference/packages.md").read_text(encoding="utf-8")
    named = re.findall(r"^\.\. automodule:: lrsearch\.(.*)$", text, re.MULTILINE)
    package = ROOT / "lrsearch"
    there = {
        ".".join(path.parent.relative_to(package).parts)
        for path in package.rglob("__init__.py")
        if "migrations" not in path.parts
    }
    assert sorted(named) == sorted(there - {""})


# The search space


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


def test_the_table_of_other_packages_is_that_of_the_registry():
    found = re.findall(r"^\| `(\w+\.\w+)` \| ([^|]*) \| ([^|]*) \|", SPACE, re.MULTILINE)
    varied = {
        name: [key for key, domain in known.ranges.items() if not isinstance(domain, Fixed)]
        for name, known in KNOWN_CLASSES.items()
        if known.ranges
    }
    assert [(name, lr, re.findall(r"`(\w+)`", others)) for name, lr, others in found] == [
        (name, in_words(KNOWN_CLASSES[name].ranges["lr"]), [key for key in keys if key != "lr"])
        for name, keys in varied.items()
    ]


def test_the_presets_are_described():
    table = SPACE.partition("| preset |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(PRESETS)


def test_the_default_space_is_described():
    sentence = (
        STUDY_FILE.read_text(encoding="utf-8")
        .partition("`space: default` is ")[2]
        .partition(".")[0]
    )
    default = PRESETS["default"]
    assert set(re.findall(r"`(\w+)`", sentence)) == {*default.optimizers, *default.schedules}
