"""The fields of a study file as keyword arguments of `search`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

#: A part of a study file that is a mapping of its own.
Fields = Mapping[str, Any]


class StudyFields(TypedDict, total=False):
    """The fields of a study file besides its task; docs/ and `StudySpec` say what they mean.

    `train` may also be the function that `FILE.py:function` names.
    """

    train: str | Callable[..., None]
    launch: str | Sequence[str]
    arguments: str | Sequence[str]
    command: str | Sequence[str]
    report: Fields
    names: Mapping[str, Mapping[str, str]]
    resume_args: str | Sequence[str]
    end: Fields
    devices_per_trial: int
    name: str
    init: str | Fields | None
    epochs: int
    steps: int
    budget: Fields
    objective: str | Fields
    space: str | Fields
    seed: int
    validate_every: str | Fields
    pruning: str | Fields | None
    confirm: str | Fields | None
    tolerance: float
    range_test: str | None
    baseline: str | Fields | None
    enqueue: Sequence[Fields]
    portfolio: str | int | Sequence[Fields]
    transfer: Fields
    warm_start: Sequence[str | Fields] | str | None
    precision: str
    accumulate: int | str | None
    clip_norm: float | str | None
    ema: str | Fields | None
    checkpoints: str | Fields | None
    lease: Fields
    max_trial_time: float | str | None
    on_code_change: str
    log: str | Fields | None
    notes: str
    tags: Sequence[str]
    project: str
