"""What makes two studies the same: all fields of a spec but those that may change.

The functions take a spec as `StudySpec.to_dict` writes it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from lrsearch.plain_data import Document, Fields, Unchecked

#: What may differ between the stored spec and a file that continues the study.
MUTABLE = (
    "name",
    "budget",
    "confirm",
    "log",
    "notes",
    "tags",
    "project",
    "on_code_change",
    "checkpoints",
    "lease",
    "max_trial_time",
    "end",
    "tolerance",
    "transfer",
)
#: What `study extend` may change besides: none of it alters what a trial is.
EXTENDABLE = (
    "space",
    "baseline",
    "enqueue",
    "warm_start",
    "portfolio",
    "range_test",
    "pruning",
)
#: Fields that are younger than stored studies, and what these were trained with.
YOUNGER: Mapping[str, Unchecked] = {
    "accumulate": 1,
    "arguments": [],
    "command": [],
    "devices_per_trial": 1,
    "init": None,
    "ladder": None,
    "launch": [],
    "names": {},
    "objective.at": "best",
    "pruning.rule": "asynchronous",
    "pruning.samples": "all",
    "report": {},
    "resume_args": [],
    "train": None,
    "validate_every.rungs": False,
}


def as_begun(content: Fields) -> Document:
    """The stored fields of a spec; one that is older than a field of `pruning` goes on as begun."""
    pruning = content.get("pruning")
    if pruning is None:
        return dict(content)
    prefix = "pruning."
    younger = {k.removeprefix(prefix): v for k, v in YOUNGER.items() if k.startswith(prefix)}
    return {**content, "pruning": {**younger, **pruning}}


def fixed_fields(spec: Document) -> Document:
    """The fields of the spec that may not change."""
    fixed = {key: value for key, value in spec.items() if key not in MUTABLE}
    pruning = fixed.get("pruning")
    if pruning is not None:
        fixed["pruning"] = {key: value for key, value in pruning.items() if key != "audit"}
    return fixed


def fingerprint(spec: Document) -> str:
    """SHA-256 of the identity, the same for 1 and 1.0, and whether younger fields are there."""
    fixed = fixed_fields(spec)
    for path, earlier in YOUNGER.items():
        owner, _, key = path.rpartition(".")
        place = fixed[owner] if owner else fixed
        if place is not None and place[key] == earlier:
            del place[key]
    if isinstance(fixed["portfolio"], int):
        fixed["textbook"] = fixed.pop("portfolio")  # its name where it was but a number
    text = json.dumps(_as_floats(fixed), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_floats(value: Unchecked) -> Unchecked:
    if isinstance(value, dict):
        return {key: _as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_floats(item) for item in value]
    return float(value) if type(value) is int else value


def differences(mine: Unchecked, theirs: Unchecked, where: str = "") -> list[str]:
    """`field: mine -> theirs` for everything in which two identities differ."""
    if not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
        return [] if mine == theirs else [f"{where}: {brief(mine)} -> {brief(theirs)}"]
    lines = []
    for key in sorted(set(mine) | set(theirs)):
        place = f"{where}.{key}" if where else key
        lines += differences(mine.get(key), theirs.get(key), place)
    return lines


def obstacles(changes: Iterable[str]) -> list[str]:
    """Those of the differences that change what a trial is, so that no extension bridges them.

    Rungs and their samples are among them: where they differ, signals cannot be compared.
    """
    return [
        line
        for line in changes
        if line.startswith(("pruning.rungs", "pruning.samples"))
        or re.split(r"[.:]", line)[0] not in EXTENDABLE
    ]


def brief(value: Unchecked) -> str:
    """As JSON, of which at most 60 characters are shown."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
