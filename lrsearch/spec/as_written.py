"""A study file as people write it: numbers as text, `none` for what is off, earlier names."""

from collections.abc import Mapping

from lrsearch.errors import SpecError
from lrsearch.plain_data import Unchecked
from lrsearch.study_name import DEFAULT_PROJECT, project_of
from lrsearch.user_input import plain_numbers

#: Fields whose value stays text even if it looks like a number (`name: "2024"`).
TEXT = frozenset(
    {"name", "task", "init", "log", "notes", "tags", "project", "checkpoints"}
    | {"train", "launch", "arguments", "command", "report", "names", "resume_args", "warm_start"}
)
#: Fields that can be off, by `none` or null, and what they then are.
OFF: Mapping[str, Unchecked] = {
    "accumulate": 1,
    "arguments": (),
    "baseline": None,
    "clip_norm": None,
    "command": (),
    "confirm": None,
    "devices_per_trial": 1,
    "ema": None,
    "enqueue": (),
    "init": None,
    "launch": (),
    "log": {},
    "max_trial_time": None,
    "names": {},
    "notes": "",
    "portfolio": 0,
    "project": "",
    "pruning": None,
    "ladder": None,
    "range_test": "none",
    "report": {},
    "resume_args": (),
    "tags": (),
    "tolerance": 0.0,
    "train": None,
    "warm_start": (),
}
#: The same for fields of a part.
OFF_IN_PART: Mapping[str, Mapping[str, Unchecked]] = {
    "budget": {"trials": None, "epochs": None, "runs": None, "time": None},
    "pruning": {"audit": 0.0},
}
#: Off where the field is a number; as `false`, 0 has always been read.
NUMBERS = ("portfolio", "tolerance")
#: Names of fields in earlier versions, and today's.
RENAMED = {
    "budget.total_epochs": "budget.epochs",
    "code": "on_code_change",
    "confirm.top": "confirm.candidates",
    "textbook": "portfolio",
}


def as_read(content: Mapping[str, Unchecked]) -> dict[str, Unchecked]:
    """The fields with numbers for text that is one, and the value of each field that is off.

    Raises SpecError for `false` (in YAML `off` and `no` are that) where `none` is meant.
    """
    return {
        key: _read(key, value if key in TEXT else plain_numbers(value))
        for key, value in content.items()
    }


def _read(key: str, value: Unchecked) -> Unchecked:
    if key in OFF:
        if value is None or value == "none":
            return OFF[key]
        if value is False and key not in NUMBERS:
            raise SpecError(f"{key} = {value!r}; write none to turn it off")
    if key == "checkpoints" and value == "none":
        raise SpecError(
            "checkpoints = 'none', but they cannot be turned off; write {every: 24h} for few of "
            "them, ./none for a folder of that name"
        )
    if key in OFF_IN_PART and isinstance(value, Mapping):
        off = OFF_IN_PART[key]
        return {k: off[k] if k in off and v == "none" else v for k, v in value.items()}
    return value


def with_project(content: Mapping[str, Unchecked]) -> dict[str, Unchecked]:
    """The fields with the project that the name begins with.

    Raises SpecError if `project` is another one.
    """
    name, given = content.get("name"), content.get("project")
    project = project_of(name) if isinstance(name, str) else ""
    if not project:
        return dict(content)
    if project == DEFAULT_PROJECT:
        raise SpecError(
            f"name = {name!r}; a study of the default project has its name alone; leave "
            f"'{DEFAULT_PROJECT}/' out"
        )
    if given not in (None, "", project):
        raise SpecError(
            f"project = {given!r}, but name = {name!r} is of project {project!r}; leave project out"
        )
    return {**content, "project": project}


def with_new_names(
    content: Mapping[str, Unchecked],
) -> tuple[dict[str, Unchecked], tuple[str, ...]]:
    """The fields by today's names, and a line for each that has an earlier one.

    Raises SpecError if a field is given by both.
    """
    fields, lines = dict(content), []
    for old, new in RENAMED.items():
        owner, _, old_key = old.rpartition(".")
        new_key = new.rpartition(".")[2]
        part = fields.get(owner) if owner else fields
        if not isinstance(part, Mapping) or old_key not in part:
            continue
        if new_key in part:
            raise SpecError(f"{old} and {new} are the same field; leave {old} out")
        changed = {new_key if key == old_key else key: value for key, value in part.items()}
        fields = {**fields, owner: changed} if owner else changed
        lines.append(f"{old} is now {new}")
    return fields, tuple(lines)
