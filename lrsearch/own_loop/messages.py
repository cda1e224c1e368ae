"""What a training loop of the user's own and its worker tell each other, one JSON line a message.

The loop runs in a child process. It connects to the worker's socket, which the environment
variable `LRSEARCH_RUN` names, and says `Hello`; the worker answers with `Start`. From then on the
child speaks. Only `Report` and `Boundary` are answered, by `GoOn`, `Save`, `SaveModel` or `End`;
after a `Save` or a `SaveModel` the child says `Saved` and waits for the next answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lrsearch.plain_data import Document, Fields, Unchecked

#: Why a script is run: a trial of the search, a confirmation, a range test, or `lrsearch check`.
RunKind = Literal["search", "confirm", "range_test", "check"]


@dataclass(frozen=True, kw_only=True)
class Hello:
    """First word of a child; of several ranks only rank 0 connects."""

    pid: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the child is to train."""

    kind: RunKind
    #: `Recipe.to_dict()`; its seed and params are the run's.
    recipe: Fields
    #: `cpu`, `cuda:0`, `mps`.
    device: str
    #: Intra-op threads of torch.
    threads: int = 1
    #: The folder of this trial, which stays where the trial is taken over by another worker.
    folder: str
    #: The objective, and whether more of it is better: a plateau schedule may follow it.
    metric: str = "val_loss"
    direction: Literal["minimize", "maximize"] = "minimize"
    #: A file that `Save` has made, from which the run goes on; None: from step 0.
    resume: str | None = None
    #: Of a range test: the learning rate of each step, rising.
    lrs: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Built:
    """`run.build` has made the first optimizer."""

    #: Optimizer steps of an epoch, and of the whole run.
    steps_per_epoch: int
    total_steps: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """`run.report`: a validation. Answered."""

    step: int
    epoch: float
    #: Of the last step.
    lr: float | None
    #: Mean of what `run.loss` was given since the last report; None without it.
    train_loss: float | None
    #: The script's own names; `val_loss` is one of them where it is reported.
    metrics: Mapping[str, float]
    #: What was reported inside `with run.average()`; None if nothing was.
    metrics_ema: Mapping[str, float] | None
    #: Seconds of training and validation so far, those before an interruption included.
    seconds: float
    #: Loss of the first batch that `run.loss` was given; None without it.
    start_loss: float | None


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The top of an epoch, or a batch of `run.batches` where a `Save` was asked for. Answered."""

    step: int
    epoch: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Beat:
    """The run gets on; sent at most once a second, and not answered."""

    step: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Diverged:
    """The training loss is not finite, or above ten times the first; the run ends itself."""

    step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Of a range test: learning rates and losses, a pair for each optimizer step."""

    lrs: tuple[float, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Hint:
    """What of the script spoils its trials, with the line to change."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The state lies at the path that `Save` named."""

    step: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The script came to its end: the function returned, or the script ended with status 0."""

    step: int
    epoch: float
    seconds: float
    #: Whether `run.average` was used, and whether `run.loss` was.
    averages: bool = False
    reads_loss: bool = False
    #: SHA-256 of weights, optimizer states and what was kept, by name: `check` compares them.
    digests: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The script raised."""

    #: `ValueError: message (my_train.py:41)`; `oom` where memory ran out.
    error: str
    step: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class GoOn:
    """Train on."""


@dataclass(frozen=True, kw_only=True)
class Save:
    """Write the state to this file, say `Saved`, and wait for the next answer."""

    path: str


@dataclass(frozen=True, kw_only=True)
class SaveModel:
    """Write the model's weights to this file, say `Saved`, and wait for the next answer.

    At a `Report` too. Where no model is known, `Saved` has 0 bytes.
    """

    path: str
    #: Whether the average of the weights is wanted.
    averaged: bool


@dataclass(frozen=True, kw_only=True)
class SaveSoon:
    """Unasked for, while the child trains: come to a `Boundary` at the next batch, if possible."""


@dataclass(frozen=True, kw_only=True)
class End:
    """The run is over: `run` raises `Ended` now and at every later call."""

    #: `pruned`, `stopped`, `diverged` or `checked`.
    reason: str


Message = (
    Hello | Start | Built | Report | Boundary | Beat | Diverged | Readings | Hint | Saved | Finished
    | Failed | GoOn | Save | SaveModel | SaveSoon | End
)  # fmt: skip
#: By the name that stands in a line.
_TYPES: Mapping[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        Hello, Start, Built, Report, Boundary, Beat, Diverged, Readings, Hint, Saved, Finished,
        Failed, GoOn, Save, SaveModel, SaveSoon, End,
    )
}  # fmt: skip


def encode(message: Message) -> bytes:
    """One line, NaN and infinity as Python's JSON writes them."""
    return json.dumps([type(message).__name__, vars(message)]).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Raises ValueError for a line that `encode` never gave."""
    try:
        name, fields = json.loads(line)
        return _TYPES[name](**_tuples(fields))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a message of a run: {line[:80]!r}") from error


def _tuples(fields: Mapping[str, Unchecked]) -> Document:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
