"""Whether two specs are the same study: which fields may change, and a diff of the others."""

import json
from collections.abc import Mapping
from typing import Any

#: What may differ between the stored spec and a file that continues the study.
MUTABLE = (
    "name",
    "budget",
    "confirm",
    "notes",
    "tags",
    "project",
    "code",
    "checkpoints",
    "lease",
    "max_trial_time",
    "tolerance",
)
#: What `study extend` may change besides: none of it alters what a trial is.
EXTENDABLE = (
    "space",
    "baseline",
    "enqueue",
    "warm_start",
    "textbook",
    "range_test",
    "pruning",
)
#: Fields that are younger than stored studies, and what these were trained with.
YOUNGER: Mapping[str, Any] = {
    "accumulate": 1,
    "objective.at": "best",
    "validate_every.rungs": False,
}


def as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_floats(item) for item in value]
    return float(value) if type(value) is int else value


def differences(mine: Any, theirs: Any, where: str) -> list[str]:
    if not isinstance(mine, dict) or not isinstance(theirs, dict):
        return [] if mine == theirs else [f"{where}: {_brief(mine)} -> {_brief(theirs)}"]
    lines = []
    for key in sorted(set(mine) | set(theirs)):
        place = f"{where}.{key}" if where else key
        lines += differences(mine.get(key), theirs.get(key), place)
    return lines


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
