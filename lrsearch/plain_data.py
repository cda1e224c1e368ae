"""Types of plain data: what YAML and JSON hold, before and after it is checked."""

from collections.abc import Mapping, Sequence
from typing import Any

#: Whatever a user may have written in YAML or JSON. It is checked by whoever reads it.
Unchecked = None | bool | int | float | str | Sequence["Unchecked"] | Mapping[str, "Unchecked"]
#: Fields by name, checked, whose values differ in type by nature: an optimizer in torch's names, a
#: schedule, params.
Fields = Mapping[str, Any]
#: A JSON document that is being made: fields that may still be set.
Document = dict[str, Any]
