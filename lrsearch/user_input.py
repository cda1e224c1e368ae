"""What people write: numbers, YAML, and one line for the first thing that is wrong in it."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard, get_args

import yaml
from pydantic import BaseModel, ValidationError

from lrsearch.errors import SpecError, near_miss
from lrsearch.other_names import FIELDS
from lrsearch.plain_data import Fields, Unchecked


def as_number(value: Unchecked) -> Unchecked:
    """A number that YAML 1.1 took for a string (`1e-3`) as a float; anything else as it came."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else value  # "nan" and "inf" are words
    return value


def is_number(value: Unchecked) -> TypeGuard[int | float]:
    """Whether it is a finite number; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def plain_numbers(value: Unchecked) -> Unchecked:
    """Numbers as people write them: `1e-3`, a string to YAML 1.1, becomes a number everywhere."""
    if isinstance(value, Mapping):
        return {key: plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_numbers(item) for item in value]
    return as_number(value)


def read_yaml(path: Path, kind: str) -> dict[str, Unchecked]:
    """The mapping in a YAML (or JSON) file. Raises SpecError when there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path}: cannot read the {kind}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: the {kind} is not UTF-8 text") from error
    try:
        # YAML reads JSON but for its escapes of characters beyond 16 bits.
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        language = "JSON" if path.suffix == ".json" else "YAML"
        reason = " ".join(str(error).split())
        raise SpecError(f"{path}: the {kind} is not valid {language}: {reason}") from error
    if not isinstance(content, dict):
        found = "empty" if content is None else f"a {type(content).__name__}"
        raise SpecError(f"{path}: the {kind} is {found}, but a mapping of fields is needed")
    return content


def first_error(error: ValidationError, model: type[BaseModel], kind: str) -> str:
    """One of pydantic's complaints as one line that names the place and what is accepted."""
    # A misspelled field first: what then is missing follows from it.
    detail = min(error.errors(), key=lambda detail: detail["type"] not in _UNKNOWN_FIELD)
    parts = [part for part in detail["loc"] if part != "[key]"]
    *owners, key = parts or [""]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    place = place.removeprefix(".")
    if detail["type"] in _UNKNOWN_FIELD:
        for owner in owners:
            model = _part(model, str(owner))
        owner_name = ".".join(str(owner) for owner in owners) or kind
        place = ".".join(str(part) for part in parts)
        if not owners and (advice := FIELDS.get(str(key))):
            return f"{place} is not a field of {owner_name}; {advice}"
        return f"{place} is not a field of {owner_name}{near_miss(key, model.model_fields)}"
    if detail["type"] == "missing":
        return f"{place} is missing"
    if place == "name" and detail["type"] == "string_pattern_mismatch":
        return f"name = {detail['input']!r}: {_plain_name(str(detail['input']))}"
    message = detail["msg"].removeprefix("Value error, ")
    for theirs, ours in _WORDING.items():
        message = re.sub(theirs, ours, message)
    return f"{place} = {detail['input']!r}: {message}" if place else message


def _plain_name(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    hint = f"; write {plain}" if plain else ""
    return f"letters, digits, '.', '_' and '-' are accepted, a letter or digit first{hint}"


_UNKNOWN_FIELD = ("extra_forbidden", "invalid_key")
#: Pydantic's words for the values of a YAML file, and YAML's own.
_WORDING = {
    r"valid dictionary( or instance of \w+)?": "mapping",
    r"valid (list|tuple)": "list",
    r"valid string": "word",
}


def _part(model: type[BaseModel], name: str) -> type[BaseModel]:
    """The model that the field `name` of `model` holds, beside None or not."""
    annotation = model.model_fields[name].annotation
    types = (annotation, *get_args(annotation))
    return next(part for part in types if isinstance(part, type) and issubclass(part, BaseModel))


def to_yaml(content: Fields) -> str:
    """YAML with every float written so that YAML 1.1 reads it back as the same float."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    pass


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = repr(value)
    if "e" in text and "." not in text.split("e")[0]:
        text = text.replace("e", ".0e", 1)  # 1e-05 is a string to YAML 1.1, 1.0e-05 a float
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _represent_float)
