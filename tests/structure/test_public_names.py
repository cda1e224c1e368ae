"""`import lrsearch`: what it offers, and how little it loads."""

import ast
import importlib
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import lrsearch

SLOW_TO_IMPORT = ("torch", "optuna", "matplotlib", "sqlalchemy", "pydantic")


def test_the_public_names_are_sorted():
    assert lrsearch.__all__ == sorted(lrsearch.__all__)


@pytest.mark.parametrize("name", lrsearch.__all__)
def test_each_public_name_can_be_imported(name):
    assert getattr(lrsearch, name) is not None


#: Public names that are neither a class nor a function.
VALUES = {"__version__", "run"}


@pytest.mark.parametrize("name", sorted(set(lrsearch.__all__) - VALUES))
def test_each_public_name_is_that_of_its_module(name):
    value = getattr(lrsearch, name)
    assert value.__name__ == name
    assert getattr(importlib.import_module(value.__module__), name) is value


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(lrsearch.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    names = {alias.name for node in block.body for alias in node.names}
    assert names == set(lrsearch.__all__) - {"__version__"}


def test_nothing_else_is_public():
    code = "import lrsearch; print(*[name for name in vars(lrsearch) if not name.startswith('_')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) <= {
        "importlib",
        "TYPE_CHECKING",
        "Any",
        "version",
        *lrsearch.__all__,
    }


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Recipee'"):
        lrsearch.Recipee  # noqa: B018


COMMAND = "import sys, lrsearch.cli; sys.argv = ['lrsearch', '{}']; lrsearch.cli.main()"
QUICK = ["import lrsearch", *(COMMAND.format(word) for word in ("--help", "--version", "run"))]


@pytest.mark.parametrize("code", QUICK)
def test_nothing_slow_is_imported(code):
    code = f"import atexit, sys\natexit.register(lambda: print('MODULES', *sys.modules))\n{code}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    modules = found.stdout.partition("MODULES")[2].split()
    assert "lrsearch" in modules
    assert not {name.split(".")[0] for name in modules} & set(SLOW_TO_IMPORT)


def processor_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["-c", "import lrsearch"], ["-m", "lrsearch", "--help"]])
def test_import_and_help_take_less_than_half_a_second(arguments):
    assert min(processor_seconds([sys.executable, *arguments]) for _ in range(3)) < 0.5
