"""Python source: of plain values, and of a class or function without importing it."""

import ast
import json
from importlib import resources

from lrsearch.plain_data import Unchecked
from lrsearch.task.own_code import split


def literal(value: Unchecked) -> str:
    """Python source for a plain value, with the quotes that formatters prefer."""
    if isinstance(value, str):
        return repr(value) if '"' in value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    return repr(value)


def import_of(name: str) -> str:
    """The line that imports what a name of the study's own stands for."""
    file, attribute = split(name)
    return f"from {file.removesuffix('.py')} import {attribute}  # {file} of the study, beside this"


def source_of(package: str, file: str, name: str) -> str:
    """The source of a class or function in a module that would load torch if it were imported."""
    text = (resources.files(package) / file).read_text(encoding="utf-8")
    found = {
        node.name: node
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    source = ast.get_source_segment(text, found[name])
    assert source is not None  # it was parsed from this very text
    return source
