"""The study file's field `portfolio`: `default`, `none`, a number of recipes, or a file of them."""

from pathlib import Path
from typing import Literal

from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Unchecked
from lrsearch.space.portfolio.default import DEFAULT
from lrsearch.space.portfolio.entries import Entry
from lrsearch.user_input import read_yaml

#: The field as it is kept: lrsearch's own, so many of it, or the recipes of a file.
Portfolio = Literal["default"] | int | tuple[Document, ...]
ACCEPTED = "default, none, a number of recipes, or a YAML file of recipes is accepted"


def as_portfolio(value: Unchecked) -> Unchecked:
    """The field with each recipe checked, a file by its recipes. Raises SpecError.

    A relative path is one from the working directory; `with_portfolio_file` reads those of a study
    file, which lie beside it.
    """
    if value is False:
        return 0
    if value == "default" or (isinstance(value, int) and value is not True and value >= 0):
        return value
    if isinstance(value, str):
        return _read(Path(value), f"portfolio = {value!r}")
    if not isinstance(value, list | tuple):
        raise SpecError(f"portfolio = {value!r}, but {ACCEPTED}")
    return [Entry.read(item, f"portfolio[{i}]").to_dict() for i, item in enumerate(value)]


def with_portfolio_file(content: Document, path: Path) -> Document:
    """The fields of the study file; a portfolio that is a file beside it is read.

    Raises SpecError.
    """
    value = content.get("portfolio")
    if not isinstance(value, str) or value in ("default", "none"):
        return content
    return {**content, "portfolio": _read(path.parent / value, f"{path}: portfolio = {value!r}")}


def entries(portfolio: Portfolio) -> tuple[Entry, ...]:
    """The recipes that the field stands for, before they are moved into a space."""
    if isinstance(portfolio, tuple):
        return tuple(Entry.read(item, "portfolio") for item in portfolio)
    return DEFAULT if portfolio else ()


def most(portfolio: Portfolio) -> int:
    """How many of them are trained at most: those that fit the space first."""
    return portfolio if isinstance(portfolio, int) else len(entries(portfolio))


def _read(path: Path, given: str) -> list[Document]:
    if not path.is_file():
        raise SpecError(f"{given}, but {path} is not there; {ACCEPTED}")
    content = read_yaml(path, "portfolio")
    for key in content:
        if key != "recipes":
            raise SpecError(f"{path}: {key} is not a field of a portfolio; recipes is the only one")
    recipes = content.get("recipes")
    if not isinstance(recipes, list) or not recipes:
        raise SpecError(f"{path}: recipes = {recipes!r}, but a list of recipes is needed")
    return [Entry.read(item, f"{path}: recipes[{i}]").to_dict() for i, item in enumerate(recipes)]
