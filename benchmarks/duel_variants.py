"""Variants of lrsearch: what a study has when some fields of its file are not the defaults."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from duel_methods import Found, Method, lrsearch
from duel_training import Problem

from lrsearch import LrsearchError, StudySpec

#: What the duel decides itself.
TAKEN = ("task", "epochs", "steps", "name", "seed", "budget")
#: Beside lrsearch as it comes: what each part contributes.
USUAL = ("portfolio=none", "range_test=none", "pruning={rule: asynchronous}")


class VariantError(LrsearchError):
    """What follows --variant is no change of a study file."""


def parse(text: str) -> dict[str, Any]:
    """The fields that `FIELD=VALUE,FIELD=VALUE` changes; a value is read as YAML.

    Raises VariantError.
    """
    fields = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier() or not value:
            raise VariantError(
                f"--variant {text}: {part!r} is no change of a study file; "
                f"FIELD=VALUE is accepted, with commas between them"
            )
        if name in TAKEN:
            raise VariantError(f"--variant {text}: the duel decides {name}; change another field")
        try:
            fields[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise VariantError(f"--variant {text}: {value!r} is not valid YAML") from error
    return fields


def variant(text: str) -> Method:
    """Studies with these fields, under the name that says them.

    Raises VariantError, and SpecError where they are none of a study file.
    """
    fields = parse(text)
    some = {"task": "task.py:task", "name": "duel", "epochs": 1, "budget": {"runs": 1}}
    StudySpec.from_dict({**some, **fields}, where=f"--variant {text}")

    def method(problem: Problem, seeds: Sequence[int], budgets: Sequence[int]) -> Iterator[Found]:
        return lrsearch(problem, seeds, budgets, name=text, **fields)

    return method
