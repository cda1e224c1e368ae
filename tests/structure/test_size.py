"""Modules and functions stay small, and values typed. Migrations are not counted."""

from functools import cache
from pathlib import Path

from sizes import measure, modules, per_thousand

PACKAGE = Path(__file__).parents[2] / "lrsearch"
MOST_MODULE_LINES = 300
MOST_FUNCTION_LINES = 40
#: Modules at the top of the package, beside its folders.
MOST_TOP_ENTRIES = 12
#: Of each thousand lines of the package.
MOST_LOOSE_WORDS = MOST_STRING_KEYS = 10


@cache
def sizes():
    """Measured when a test first asks: it takes seconds, and each process collects this file."""
    return modules(PACKAGE)


def test_modules_and_functions_are_read_at_one_sitting():
    long = {name: size.lines for name, size in sizes().items() if size.lines > MOST_MODULE_LINES}
    long |= {
        f"{name} {function}": lines
        for name, size in sizes().items()
        for function, lines in size.functions.items()
        if lines > MOST_FUNCTION_LINES
    }
    assert not long


def test_few_modules_stand_beside_the_packages():
    entries = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    files = sorted(path.name for path in entries if not (path / "__init__.py").exists())
    assert len(files) <= MOST_TOP_ENTRIES, files


def test_values_have_types():
    loose = per_thousand(sum(size.loose for size in sizes().values()), lines())
    assert loose <= MOST_LOOSE_WORDS, worst({name: size.loose for name, size in sizes().items()})


def test_values_have_fields_in_place_of_keys():
    keys = per_thousand(sum(size.by_string for size in sizes().values()), lines())
    assert keys <= MOST_STRING_KEYS, worst({name: size.by_string for name, size in sizes().items()})


def lines():
    return sum(size.lines for size in sizes().values())


def worst(counts):
    """The ten modules with the most, for the message of a failure."""
    return sorted(counts.items(), key=lambda item: -item[1])[:10]


def test_code_is_counted_and_not_text():
    size = measure(
        '''
from typing import Any, Literal  # Any

#: Any, Row and object, in words.
Mode = Literal["on"]

def find(row: "dict[str, Any]", key: object = None, *rest: "object | Row") -> Any:
    """Any row."""
    mode: Literal["on", "Any"] = "on"
    found = {"Any": row["a"], **row.get("b", {})}
    return found[key], row[rest[0]], row.get(key), row.pop("c"), isinstance(key, object)
'''
    )
    assert size.loose == 3 + 1 + 2  # Any, Row, annotations that name object
    assert size.by_string == 2
    assert size.functions == {"find:7": 5}
