"""What people write: numbers, YAML, and one line for the first thing that is wrong in it."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

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
            held = _model_of(model.model_fields[str(owner)])
            assert held is not None
            model = held
        owner_name = ".".join(str(owner) for owner in owners) or kind
        place = ".".join(str(part) for part in parts)
        if not owners and (advice := FIELDS.get(str(key))):
            return f"{place} is not a field of {owner_name}; {advice}"
        return f"{place} is not a field of {owner_name}{near_miss(key, model.model_fields)}"
    if detail["type"] == "missing":
        return f"{place} is missing"
    if place == "name" and detail["type"] == "string_pattern_mismatch":
        return f"name = {detail['input']!r}: {_plain_name(str(detail['input']))}"
    field, limits = _field(model, parts), detail.get("ctx", {})
    message = _accepted(detail["type"], detail["input"], limits, field)
    message = message or detail["msg"].removeprefix("Value error, ")
    return f"{place} = {detail['input']!r}: {message}" if place else message


def _accepted(
    kind: str, came: Unchecked, limits: Mapping[str, Unchecked], field: FieldInfo | None
) -> str:
    """What would have been accepted, in our words; "" where a validator has its own.

    `kind` is pydantic's type of the complaint, and `limits` its context.
    """
    if kind in _LIMITS:
        shown = {k: f"{v:.15g}" if isinstance(v, int | float) else v for k, v in limits.items()}
        return f"{_LIMITS[kind].format(**shown)} is accepted"
    if kind not in _TYPES:
        return ""
    accepted = f"{_TYPES[kind]} is accepted"
    model = None if field is None else _model_of(field)
    if kind in _MAPPINGS and model is not None:
        return f"a mapping of {', '.join(model.model_fields)} is accepted"
    example = _example(field)
    accepted += f", such as {example}" if example else ""
    if kind == "string_type" and (is_number(came) or isinstance(came, bool)):
        accepted += f"; in quotes, '{to_text(came)}', it is one"
    return accepted


def to_text(value: float) -> str:
    """A number or a truth value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _example(field: FieldInfo | None) -> str:
    """One that the field gives, else its default where that is a value to write; else nothing."""
    if field is None or (field.is_required() and not field.examples):
        return ""
    example = field.examples[0] if field.examples else field.get_default()
    if isinstance(example, tuple | list):
        return f"[{', '.join(map(str, example))}]" if example else ""
    if isinstance(example, int | float):
        return to_text(example)
    return example if isinstance(example, str) else ""


def _field(model: type[BaseModel], parts: Sequence[int | str]) -> FieldInfo | None:
    """The field that an error's place leads to; None where it lies in no model of ours."""
    owner: type[BaseModel] | None = model
    field = None
    for part in parts:
        if owner is None or part not in owner.model_fields:
            return None
        field = owner.model_fields[str(part)]
        owner = _model_of(field)
    return field


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    types = (field.annotation, *get_args(field.annotation))
    models = (part for part in types if isinstance(part, type) and issubclass(part, BaseModel))
    return next(models, None)


def _plain_name(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    hint = f"; write {plain}" if plain else ""
    return f"letters, digits, '.', '_' and '-' are accepted, a letter or digit first{hint}"


_UNKNOWN_FIELD = ("extra_forbidden", "invalid_key")
_MAPPINGS = ("dict_type", "model_type", "mapping_type", "model_attributes_type")
#: What is accepted where pydantic finds a value of another kind, by its names for that.
_TYPES = {
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    **dict.fromkeys(_MAPPINGS, "a mapping"),
}
#: And where it is of the right kind, and not allowed.
_LIMITS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
}


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
