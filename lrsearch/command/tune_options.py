"""The options of `lrsearch tune`, as they were given."""

from collections.abc import Mapping
from dataclasses import dataclass

#: Stands for whatever optimizer or schedule the script uses.
SCRIPT = "script"
#: What `{lr}` is searched in without `--lr`.
DEFAULT_LR = "1e-5..1"
DEFAULT_RUNS = 20
#: Options that search a field, by the field.
OPTIONS: Mapping[str, str] = {
    "optimizer.name": "--optimizer",
    "schedule.name": "--schedule",
    "optimizer.lr": "--lr",
    "optimizer.weight_decay": "--weight-decay",
    "optimizer.momentum": "--momentum",
    "warmup": "--warmup",
}


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """What was given on the command line; None: the option was not there."""

    command: tuple[str, ...]
    #: `NAME=PATTERN`; with a file of metrics `NAME` or `NAME=ITS NAME THERE`. The first counts.
    metrics: tuple[str, ...]
    lr: str | None = None
    weight_decay: str | None = None
    momentum: str | None = None
    warmup: str | None = None
    #: `NAME=VALUES`, where NAME is a param, or a field such as `optimizer.beta1`.
    params: tuple[str, ...] = ()
    optimizer: str | None = None
    schedule: str | None = None
    #: Length of a full training, in one of the two.
    epochs: int | None = None
    steps: int | None = None
    runs: int | None = None
    seed: int | None = None
    name: str | None = None
    direction: str | None = None
    #: `auto` or `none`.
    confirm: str | None = None
    #: Places of metrics, by the field of `report`: `json_lines`, `csv` or `tensorboard`.
    sources: Mapping[str, str | None] | None = None
