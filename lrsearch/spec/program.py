"""What a study trains: a task, a training script with a loop of its own, or a command."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.script import uses_script
from lrsearch.command.arguments import arguments_of, names_of
from lrsearch.command.metrics import Report, check_told, read_report
from lrsearch.command.template import (
    ABSENT,
    Names,
    no_value,
    placeholders,
    placeholders_without_value,
)
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Unchecked
from lrsearch.space.placeholders import space_from_placeholders, told_recipe
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec import named
from lrsearch.spec.parts import AUTO, CALIBRATED, Part, duration

if TYPE_CHECKING:
    from lrsearch.spec.study_spec import StudySpec

#: What a study file names one of.
PROGRAMS = ("task", "train", "command")
#: What stands as the task where that is a Task object of the process that called `search`.
LIVE = "live:task"
#: How the names of studies begin that `search` was given no name for.
UNNAMED = "search-"
#: A machine has 8 to 16 GPUs; on CPUs every process is a Python of its own.
MOST_DEVICES = 64
#: Fields that are of a command alone.
OF_COMMANDS = ("report", "names", "resume_args")
#: Fields that are of a training script alone.
OF_SCRIPTS = ("launch", "arguments")


class End(Part):
    """How a script's process is ended: SIGTERM to its process group, then SIGKILL."""

    #: Seconds between the two.
    grace: float = Field(default=10.0, ge=0)

    @field_validator("grace", mode="before")
    @classmethod
    def _seconds(cls, value: Unchecked) -> Unchecked:
        return duration(value)


def _arguments(field: str) -> BeforeValidator:
    """Words of a command line, none for an empty list."""
    program = field not in ("resume_args", "arguments")
    return BeforeValidator(
        lambda value: arguments_of(value, field, program=program) if value else ()
    )


class ProgramFields(Part):
    """The fields of a study that name its program, and how that is run."""

    #: `FILE.py:attribute` beside the study file, or `package.module:attribute`.
    task: str | None = None
    #: A training loop of the user's own: `FILE.py:function`, or `FILE.py`, a whole script.
    train: str | None = None
    #: What starts a `train` script in place of Python, such as `torchrun --nproc_per_node 2`.
    launch: Annotated[tuple[str, ...], _arguments("launch")] = ()
    #: Words that a `train` script finds in `sys.argv` after its own name.
    arguments: Annotated[tuple[str, ...], _arguments("arguments")] = ()
    #: A command as a list of words with placeholders such as `{lr}`.
    command: Annotated[tuple[str, ...], _arguments("command")] = ()
    #: Where the command's metrics are: `{val_loss: 'valid loss +(\\S+)'}`, or `json_lines`, `csv`
    #: or `tensorboard` with a place.
    report: Document = Field(default_factory=dict)
    #: The command's own words for values: `{optimizer.name: {adamw: AdamW}}`.
    names: Annotated[Names, BeforeValidator(names_of)] = Field(default_factory=dict)
    #: Words that are added to the command when a trial goes on after an interruption.
    resume_args: Annotated[tuple[str, ...], _arguments("resume_args")] = ()
    end: End = End()
    #: Devices that train one trial, each with a process and its part of every batch.
    devices_per_trial: int = Field(default=1, ge=1, le=MOST_DEVICES)

    @property
    def program(self) -> Literal["task", "train", "command"]:
        """Which of the three the study trains."""
        return "task" if self.task else "train" if self.train else "command"

    @property
    def is_live(self) -> bool:
        """Whether the task is an object of the process that called `search`; no file has it."""
        return self.task == LIVE

    @property
    def reference(self) -> str:
        """The program as the study file has it, in one line."""
        return self.task or self.train or shlex.join(self.command)

    def reports(self, metric: str) -> Report:
        """Where a command's metrics are, its objective among them. Raises SpecError."""
        report = read_report(self.report, metric)
        check_told(report, self.command)
        return report

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        given = [name for name in PROGRAMS if getattr(self, name)]
        if len(given) != 1:
            names = " and ".join(given) or "none of them"
            raise ValueError(f"give one of task, train and command; {names} is given")
        foreign = [name for name in OF_COMMANDS if getattr(self, name)]
        if foreign and self.program != "command":
            raise ValueError(f"{foreign[0]} is of a command; leave it out beside {given[0]}")
        foreign = [name for name in OF_SCRIPTS if getattr(self, name)]
        if foreign and self.program != "train":
            raise ValueError(f"{foreign[0]} is of train; leave it out beside {given[0]}")
        told = placeholders(self.command)
        for field in placeholders_without_value(told, self.resume_args):
            raise ValueError(no_value(field, told, "resume_args"))
        return self


def with_command_defaults(content: Mapping[str, Unchecked]) -> Document:
    """The fields of a study file; those of a command with what follows from its placeholders.

    Raises SpecError where command and space contradict each other.
    """
    fields: Document = dict(content)
    command, space = content.get("command"), content.get("space")
    if not command or isinstance(space, SearchSpace):
        return fields
    names = names_of(content.get("names", {}))
    may_lack = [field for field, words in names.items() if ABSENT in words]
    told = placeholders(arguments_of(command))
    found = space_from_placeholders(told, space, may_lack=may_lack)
    fields["space"] = found

    def complete(recipe: Unchecked, where: str) -> Unchecked:
        if not isinstance(recipe, Mapping):
            return recipe
        return told_recipe(recipe, found, told, where, may_lack=may_lack)

    if not {"seed", "recipe"} & set(told):
        if content.get("confirm") is not None:
            raise SpecError(
                "confirm: the command has no {seed}, so fresh seeds do not reach it; add its "
                "argument for the seed, or write confirm: none"
            )
        fields["confirm"] = None
    if "baseline" in content:
        fields["baseline"] = complete(content["baseline"], "baseline")
    if isinstance(enqueue := content.get("enqueue"), list | tuple):
        fields["enqueue"] = [complete(each, f"enqueue[{i}]") for i, each in enumerate(enqueue)]
    confirm = {} if "seed" in told else {"confirm": None}  # every seed would train the same
    return {"ema": None, "range_test": "none", **confirm, **fields}


def refused(study: "StudySpec") -> str | None:
    """What of a study contradicts its program, in words; None if nothing does."""
    if study.program != "command":
        reason = uses_script(study.space.optimizers, study.space.schedules)
        if reason is not None or study.program == "task":
            return reason or not_on_several(study)
    own = {
        "precision": ("fp32", "the script has its own"),
        "accumulate": (1, "the script accumulates gradients itself"),
        "clip_norm": (None, "the script clips gradients itself"),
        "init": (None, "the script loads weights itself"),
        "devices_per_trial": (1, "launch starts several processes of a script"),
        "validate_every": (AUTO, "the script validates where it does"),
    }
    if study.program == "command":
        own |= {"ema": (None, "the script averages weights itself")}
        own |= {"range_test": ("none", "a command has no range test")}
        study.reports(study.objective.metric)
    for field, (default, why) in own.items():
        if getattr(study, field) != default:
            return f"{field} is of task: {why}; leave it out beside {study.program}"
    if study.pruning is not None and study.pruning.part is not None:
        return (
            f"pruning.samples is of task: the script validates on what it does; leave it out "
            f"beside {study.program}"
        )
    own_weights = () if study.program == "train" else ("keep_weights",)
    for field in (*own_weights, "keep_step", "begin_from"):
        if getattr(study.checkpoints, field):
            return f"checkpoints.{field} is of task; leave it out beside {study.program}"
    if study.objective.metric == CALIBRATED:
        return f"objective = {CALIBRATED!r} needs a task; take a metric that the script reports"
    return None


def not_on_several(study: "StudySpec") -> str | None:
    """Why a task's trials cannot have `devices_per_trial`, in words; None if they can."""
    if study.devices_per_trial == 1:
        return None
    where = f"devices_per_trial = {study.devices_per_trial}"
    if study.is_live:
        return f"{where}: each device's process imports the task, so give it as FILE.py:attribute"
    for name in named.optimizers(study.space, study.given_recipes()):
        alone = optimizer_info(name, "optimizer").known.alone
        if alone is not None:
            return f"{where}, but {name} {alone}; leave one of them out"
    return None


def after_first_run(study: "StudySpec", *, averages: bool, reads_loss: bool) -> "StudySpec":
    """The study without what its script was seen not to do.

    `averages`: it validates the weight average. `reads_loss`: it says its losses, without which
    there is no range test. Raises SpecError where averaged weights are to be deployed.
    """
    changes: Document = {}
    if study.pruning is not None:  # a script validates on what it does
        changes["pruning"] = study.pruning.model_copy(update={"samples": "all"})
    if study.ema is not None and not averages:
        if study.ema.deploy:
            raise SpecError(
                "ema.deploy = true, but the script does not validate averaged weights; add "
                "`with run.average():` around a validation, or leave it out"
            )
        changes["ema"] = None
    if not reads_loss:
        changes["range_test"] = "none"
    return study.model_copy(update=changes)
