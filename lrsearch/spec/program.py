"""What a study trains: a task, a training script with a loop of its own, or a command."""

import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from lrsearch.plain_data import Unchecked
from lrsearch.spec.parts import AUTO, CALIBRATED, Part, duration

if TYPE_CHECKING:
    from lrsearch.spec.study_spec import StudySpec

#: What a study file names one of.
PROGRAMS = ("task", "train", "command")
#: Fields that are of a command alone.
OF_COMMANDS = ("report", "names", "resume_args")


class Reports(Part):
    """Where a command's metrics are read: exactly one of the four."""

    #: Metric to regular expression over the lines of its output, with one group.
    patterns: Mapping[str, str] | None = None
    #: `stdout`, or a file with a JSON object a line.
    json_lines: str | None = None
    #: A file with a header that grows.
    csv: str | None = None
    #: A folder with TensorBoard's event files.
    tensorboard: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of patterns, json_lines, csv, tensorboard")
        for metric, pattern in (self.patterns or {}).items():
            _check_pattern(metric, pattern)
        return self


def _check_pattern(metric: str, pattern: str) -> None:
    try:
        groups = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{metric}: {pattern!r} is no regular expression: {error}") from error
    if groups.groups - len(groups.groupindex.keys() & {"epoch", "step"}) != 1:
        raise ValueError(
            f"{metric}: {pattern!r} needs one group around the number, such as "
            r"'valid loss +(\S+)'; (?P<epoch>...) and (?P<step>...) may stand beside it"
        )


def as_reports(value: Unchecked | Reports) -> Unchecked | Reports:
    """A mapping of metrics to patterns as the patterns that it means."""
    if isinstance(value, Mapping) and not value.keys() & set(Reports.model_fields):
        return {"patterns": value}
    return value


class End(Part):
    """How a script's process is ended: SIGTERM to its process group, then SIGKILL."""

    #: Seconds between the two.
    grace: float = Field(default=10.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _seconds(cls, value: Unchecked) -> Unchecked:
        if isinstance(value, Mapping) and "grace" in value:
            return {**value, "grace": duration(value["grace"])}
        return value


def as_words(value: Unchecked) -> Unchecked:
    """A command line without shell syntax as its words."""
    if isinstance(value, list | tuple):
        return [word if isinstance(word, str) else str(word) for word in value]
    if not isinstance(value, str):
        return value
    if found := re.search(r"[|<>;&$*`'\"\\]", value):
        raise ValueError(
            f"it is run without a shell, so {found[0]!r} means nothing; write a list of words, "
            f"such as [python, train.py, --lr, '{{lr}}']"
        )
    return shlex.split(value)


Words = Annotated[tuple[str, ...], BeforeValidator(as_words)]


class ProgramFields(Part):
    """The fields of a study that name its program, and how that is run."""

    #: `FILE.py:attribute` beside the study file, or `package.module:attribute`.
    task: str | None = None
    #: A training loop of the user's own: `FILE.py:function`, or `FILE.py`, a whole script.
    train: str | None = None
    #: What starts a `train` script in place of Python, such as `torchrun --nproc_per_node 2`.
    launch: Words = ()
    #: A command as a list of words with placeholders such as `{lr}`.
    command: Words = ()
    #: Where the command's metrics are.
    report: Annotated[Reports | None, BeforeValidator(as_reports)] = None
    #: The command's own words for values: `{"optimizer.name": {"adamw": "AdamW"}}`.
    names: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    #: Words that are added to the command when a trial goes on after an interruption.
    resume_args: Words = ()
    end: End = End()

    @property
    def program(self) -> Literal["task", "train", "command"]:
        """Which of the three the study trains."""
        return "task" if self.task else "train" if self.train else "command"

    @property
    def reference(self) -> str:
        """The program as the study file has it, in one line."""
        return self.task or self.train or shlex.join(self.command)

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        given = [name for name in PROGRAMS if getattr(self, name)]
        if len(given) != 1:
            names = " and ".join(given) or "none of them"
            raise ValueError(f"give one of task, train and command; {names} is given")
        foreign = [name for name in OF_COMMANDS if getattr(self, name)]
        if foreign and self.program != "command":
            raise ValueError(f"{foreign[0]} is of a command; leave it out beside {given[0]}")
        if self.launch and self.program != "train":
            raise ValueError(f"launch is of train; leave it out beside {given[0]}")
        if self.program == "command" and self.report is None:
            raise ValueError(
                "a command needs report: where its metrics are, such as "
                r"report: {val_loss: 'valid loss +(\S+)'}"
            )
        return self


def refused(study: "StudySpec") -> str | None:
    """A field of the study that a script of the user's leaves no room for, in words."""
    own = {
        "precision": ("fp32", "the script has its own"),
        "accumulate": (1, "the script accumulates gradients itself"),
        "clip_norm": (None, "the script clips gradients itself"),
        "init": (None, "the script loads weights itself"),
        "validate_every": (AUTO, "the script validates where it does"),
    }
    for field, (default, why) in own.items():
        if getattr(study, field) != default:
            return f"{field} is of task: {why}; leave it out beside {study.program}"
    if study.objective.metric == CALIBRATED:
        return f"objective = {CALIBRATED!r} needs a task; take a metric that the script reports"
    return None
