"""Versions of packages, and the optional parts."""

from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from lrsearch.doctor import packages

NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(
    lambda parts: ".".join(map(str, parts))
)
BOUNDS = st.lists(
    st.tuples(st.sampled_from([">=", "<", "<=", ">", "==", "!="]), NUMBERS), min_size=1, max_size=3
)


@given(NUMBERS, BOUNDS)
def test_a_version_is_in_a_range_as_pip_has_it(version, bounds):
    wanted = ",".join(sign + number for sign, number in bounds)
    assert packages.satisfies(version, wanted) == (Version(version) in SpecifierSet(wanted))


def test_parts_of_a_version_that_are_no_numbers_do_not_count():
    assert packages.satisfies("2.13.0+cpu", ">=2.6,<3")
    assert packages.satisfies("1.0", "")


class Installed:
    """Packages as an environment's metadata have them."""

    PackageNotFoundError = metadata.PackageNotFoundError

    def __init__(self, requires, extras=(), **versions):
        self.required, self.extras, self.versions = requires, extras, versions

    def requires(self, name):
        if self.required is None:
            raise metadata.PackageNotFoundError(name)
        return self.required

    def metadata(self, name):
        self.requires(name)
        return self

    def get_all(self, key):
        assert key == "Provides-Extra"
        return self.extras

    def version(self, name):
        if name not in self.versions:
            raise metadata.PackageNotFoundError(name)
        return self.versions[name]


def found(monkeypatch, function, *arguments, **versions):
    monkeypatch.setattr(packages, "metadata", Installed(*arguments, **versions))
    return [(one.state, one.text, one.advice) for one in function()]


def test_a_package_that_is_missing_or_too_old_is_a_problem(monkeypatch):
    required = ["torch>=2.6", "optuna<5.1,>=5.0", "rich>=13", "scikit-learn; extra == 'examples'"]
    lines = found(monkeypatch, packages.versions, required, torch="2.5.1", rich="13.0")
    assert ("problem", "torch 2.5.1, but >=2.6 is needed", "pip install 'torch>=2.6'") in lines
    assert ("problem", "optuna is not installed", "pip install 'optuna<5.1,>=5.0'") in lines
    assert sum(state == "problem" for state, *_ in lines) == 2


def test_python_and_sqlite_that_are_too_old_are_problems(monkeypatch):
    monkeypatch.setattr(packages, "OLDEST_PYTHON", (4, 0))
    monkeypatch.setattr(packages, "OLDEST_SQLITE", (4, 0, 0))
    lines = found(monkeypatch, packages.versions, [])
    advice = [advice for state, _, advice in lines if state == "problem"]
    assert [words.split(",")[0] for words in advice] == [
        "install Python 4.0 or newer",
        "use a Python with SQLite 4.0.0 or newer",
    ]


def test_each_extra_is_there_or_says_how_to_install_it(monkeypatch):
    required = [
        "torch",
        "scikit-learn>=1.4; extra == 'examples'",
        'tensorboard>=2.14; extra == "tensorboard"',
        "schedulefree; extra == 'optimizers'",
        "prodigyopt; extra == 'optimizers'",
        "pytest; extra == 'test'",
    ]
    extras = ("examples", "tensorboard", "optimizers", "test")
    lines = found(
        monkeypatch, packages.optional_parts, required, extras, tensorboard="2.20", prodigyopt="1.1"
    )
    assert lines == [
        ("note", "examples: without scikit-learn", "pip install 'lrsearch[examples]'"),
        ("ok", "tensorboard: tensorboard", ""),
        ("note", "optimizers: without schedulefree", "pip install 'lrsearch[optimizers]'"),
    ]


@pytest.mark.parametrize("function", [packages.versions, packages.optional_parts])
def test_a_checkout_that_nobody_installed_is_no_problem(monkeypatch, function):
    lines = found(monkeypatch, function, None)
    assert not [line for line in lines if line[0] == "problem"]
