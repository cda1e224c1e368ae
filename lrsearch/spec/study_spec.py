"""StudySpec: a study file as a validated, frozen value."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.recipe.recipe import Precision, Recipe
from lrsearch.space.parse import parse_space
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec import named
from lrsearch.spec.as_written import as_read, with_new_names, with_project
from lrsearch.spec.earlier_study import EarlierStudy
from lrsearch.spec.identity import as_begun, differences, fingerprint, fixed_fields, obstacles
from lrsearch.spec.initial_weights import InitialWeights, as_initial_weights
from lrsearch.spec.log import Log, as_log
from lrsearch.spec.of_study import check_fused, completed
from lrsearch.spec.parts import (
    AUTO,
    VAL_LOSS,
    Budget,
    Checkpointing,
    Confirm,
    Ema,
    Lease,
    Objective,
    ValidateEvery,
    as_budget,
    as_checkpointing,
    as_confirm,
    as_objective,
    as_validate_every,
    duration,
)
from lrsearch.spec.portfolio_field import Portfolio, as_portfolio, with_portfolio_file
from lrsearch.spec.program import refused, with_command_defaults
from lrsearch.spec.pruning import Pruning
from lrsearch.spec.transfer_field import TransferFields, own_fields
from lrsearch.study_name import STUDY_NAME
from lrsearch.task import own_code
from lrsearch.user_input import first_error, read_yaml

log = logging.getLogger(__name__)


class StudySpec(TransferFields):
    """A study: program, horizon, budget, objective, space and how trials are run.

    `load` reads a study file, `from_dict` its fields as a mapping, `StudySpec(name=..., ...)` its
    fields as keyword arguments. All take values as a study file has them: `budget={"runs": 20}`.
    The first two raise SpecError in one line, the constructor pydantic's ValidationError or that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    #: `NAME`, or `PROJECT/NAME`.
    name: str = Field(min_length=1, max_length=200, pattern=STUDY_NAME)
    #: Weights that every trial starts from: a file beside the study file. None: those of `model()`.
    init: Annotated[InitialWeights | None, BeforeValidator(as_initial_weights)] = None
    #: Horizon: how long a full trial is.
    epochs: int | None = Field(default=None, ge=1)
    #: Horizon in optimizer steps, in place of epochs.
    steps: int | None = Field(default=None, ge=1, lt=2**31)
    budget: Annotated[Budget, BeforeValidator(as_budget)]
    objective: Annotated[Objective, BeforeValidator(as_objective)] = VAL_LOSS
    space: SearchSpace = Field(default_factory=lambda: parse_space("default"))
    seed: int = Field(default=0, ge=0, lt=2**31)
    validate_every: Annotated[ValidateEvery, BeforeValidator(as_validate_every)] = AUTO
    pruning: Pruning | None = Pruning()
    confirm: Annotated[Confirm | None, BeforeValidator(as_confirm)] = Confirm()
    #: A difference of the objective that does not matter to the user: recipes within it are tied.
    tolerance: float = Field(default=0.0, ge=0)
    #: LR range test before the search: `auto` unless it is dearer than 3 % of the budget.
    range_test: Literal["auto", "none"] = "auto"
    #: A recipe that is trained first, and that the report compares the others with.
    baseline: Document | None = None
    #: More recipes that are trained before any is sampled.
    enqueue: tuple[Document, ...] = ()
    #: Recipes that are trained first, after the user's own: see `portfolio_field`.
    portfolio: Annotated[Portfolio, BeforeValidator(as_portfolio)] = "default"
    #: Earlier studies that this one learns from when it is created.
    warm_start: tuple[EarlierStudy, ...] = ()
    precision: Precision = "fp32"
    #: Micro-batches whose mean gradient makes one optimizer step.
    accumulate: int = Field(default=1, ge=1, lt=2**31)
    #: Largest total gradient norm; None clips nothing.
    clip_norm: float | None = Field(default=None, gt=0)
    ema: Ema | None = Ema()
    #: Where and how often trials in training are saved, so that another worker can go on with them.
    checkpoints: Annotated[Checkpointing, BeforeValidator(as_checkpointing)] = Checkpointing()
    #: When a worker that is silent loses its trial.
    lease: Lease = Lease()
    #: Seconds of training after which a trial is ended as failed; None: as long as it takes.
    max_trial_time: Annotated[float | None, BeforeValidator(duration)] = Field(default=None, gt=0)
    #: What a worker does whose task differs from the study's: refuse, or go on and record it.
    on_code_change: Literal["refuse", "warn"] = "refuse"
    #: Experiment trackers that show each trial as a run.
    log: Annotated[Log, BeforeValidator(as_log)] = Log()
    notes: str = ""
    tags: tuple[str, ...] = ()
    project: str = ""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, content: Unchecked) -> Unchecked:
        if not isinstance(content, Mapping):
            return content
        return with_command_defaults(with_project(as_read(with_new_names(content)[0])))

    @field_validator("space", mode="before")
    @classmethod
    def _space(cls, value: Unchecked | SearchSpace) -> SearchSpace:
        return value if isinstance(value, SearchSpace) else parse_space(value)

    @field_validator("warm_start", mode="before")
    @classmethod
    def _warm_start(cls, value: Unchecked) -> tuple[EarlierStudy, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError("a list of studies is accepted")
        return tuple(EarlierStudy.parse(entry, f"warm_start[{i}]") for i, entry in enumerate(value))

    @model_validator(mode="after")
    def _consistent(self) -> "StudySpec":
        self._check_horizon()
        if reason := refused(self):
            raise ValueError(reason)
        check_fused(self.space, self.precision)
        for where, recipe in self.given_recipes():
            self.recipe(recipe, batch_size=None, where=where)
        for i, entry in enumerate(self.warm_start):
            if entry.study == self.name:
                raise SpecError(f"warm_start[{i}] = {self.name!r}, which is this study itself")
            if entry in self.warm_start[:i]:
                raise SpecError(f"warm_start[{i}] names {entry.title!r} a second time")
        return self

    def _check_horizon(self) -> None:
        given = [length for length in (self.epochs, self.steps) if length is not None]
        if len(given) != 1 and not (self.command and not given):
            raise ValueError("give the horizon once: epochs or steps")
        if self.steps and self.budget.counts_epochs and "batch_size" in self.space.params:
            unit = "runs" if self.budget.epochs is None else "epochs"
            raise ValueError(
                "steps with a searched params.batch_size has no fixed number of epochs, which "
                f"budget.{unit} needs; give the horizon in epochs"
            )
        if self.validate_every.steps and self.steps and self.validate_every.steps > self.steps:
            raise ValueError("validate_every.steps is beyond the horizon")

    def given_recipes(self) -> list[tuple[str, Document]]:
        """The user's own recipes with their places in the file, baseline first."""
        baseline = [] if self.baseline is None else [("baseline", self.baseline)]
        return baseline + [(f"enqueue[{i}]", recipe) for i, recipe in enumerate(self.enqueue)]

    def recipe(self, fields: Fields, *, batch_size: int | None, where: str = "recipe") -> Recipe:
        """The recipe that the study trains for these fields (optimizer, schedule, warmup, params).

        Everything else comes from the study, so that all its trials can be compared. An optimizer
        that torch has a fused kernel of runs it unless `fields` say otherwise. Raises SpecError
        where they contradict the study.
        """
        study = own_fields(self.ladder, self._own_fields(), fields)
        free = {"clip_norm": self.clip_norm, "batch_size": batch_size}
        if foreign := named.foreign(fields, self.space, self.given_recipes()):
            raise SpecError(f"{where}.{foreign}")
        recipe = Recipe.from_dict(fields, where)
        given = recipe.model_dump(exclude_unset=True)
        if recipe.batch_size is None:
            given.pop("batch_size", None)  # the task's own
        for key, value in study.items():
            if key in given and given[key] != value:
                raise SpecError(
                    f"{where}.{key} = {given[key]!r}, but the study trains with {value!r}; "
                    f"leave it out"
                )
        given |= completed(recipe, self.space, self.objective, self.precision, where)
        return Recipe.from_dict({**free, **given, **study}, where)

    def _own_fields(self) -> Document:
        """What all recipes of the study have alike."""
        return {
            "epochs": self.epochs,
            "steps": self.steps,
            "precision": self.precision,
            "accumulate": self.accumulate,
            "ema": None if self.ema is None else {"epochs": self.ema.epochs},
            "weights": "ema" if self.ema is not None and self.ema.deploy else "raw",
            "seed": self.seed,
        }

    def declares(self, fields: Unchecked) -> bool:
        """Whether a recipe's optimizer and schedule are in the registries, or the study names them.

        No other class is imported. Every worker may write recipes into the database, but not the
        study's definition.
        """
        return named.foreign(fields, self.space, self.given_recipes()) is None

    def own_names(self) -> list[str]:
        """The optimizers and schedules that are files beside the study file."""
        return named.own(self.space, self.given_recipes())

    @classmethod
    def from_dict(cls, content: Fields, where: str = "study") -> "StudySpec":
        """The study with these fields, as a study file has them.

        Raises SpecError, one line that begins with `where`, unless they are a study.
        """
        if not isinstance(content, Mapping):
            raise SpecError(f"{where} = {content!r}, but a mapping of fields is needed")
        try:
            return cls.model_validate(content)
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from error
        except ValidationError as error:
            raise SpecError(f"{where}: {first_error(error, cls, 'a study file')}") from error

    @classmethod
    def load(cls, path: str | Path) -> "StudySpec":
        """Read a study file. Raises SpecError naming file, field, value and what is accepted.

        Imports the study's own optimizers and schedules, files beside it. Logs a warning for each
        field that has the name of an earlier version.
        """
        content = with_portfolio_file(read_yaml(Path(path), "study file"), Path(path))
        own_code.load(own_code.own_names(content), Path(path).parent, where=f"{path}: ")
        spec = cls.from_dict(content, where=str(path))
        for line in with_new_names(content)[1]:
            log.warning("%s: %s", path, line)
        return spec

    def to_dict(self) -> Document:
        """Plain JSON values with the space written out, so that presets may change later."""
        content = self.model_dump(mode="json", exclude={"space"})
        return {**content, "space": self.space.to_dict()}

    @classmethod
    def from_stored(cls, content: Fields) -> "StudySpec":
        """The spec that `to_dict` wrote into the database. Raises SpecError in one line."""
        try:
            space = SearchSpace.from_dict(content["space"])
            return cls.model_validate({**as_begun(content), "space": space})
        except SpecError as error:
            raise SpecError(f"the study's stored definition: {error}") from error
        except ValidationError as error:
            line = first_error(error, cls, "a study")
            newer = any(detail["type"] == "extra_forbidden" for detail in error.errors())
            hint = "; a newer lrsearch made it, update lrsearch on this machine" if newer else ""
            raise SpecError(f"the study's stored definition: {line}{hint}") from error
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise SpecError("the study's stored definition is not that of a study") from error

    def identity(self) -> Document:
        """The part that makes two studies the same: all but budget, confirm, notes and the like."""
        return fixed_fields(self.to_dict())

    def hash(self) -> str:
        """SHA-256 of the identity."""
        return fingerprint(self.to_dict())

    def differences(self, other: "StudySpec") -> list[str]:
        """`field: mine -> theirs` for everything in which the identities differ."""
        return differences(self.identity(), other.identity())

    def obstacles(self, other: "StudySpec") -> list[str]:
        """Those of the differences that no extension bridges: they change what a trial is."""
        return obstacles(self.differences(other))

    def continuing(self, stored: "StudySpec") -> "StudySpec":
        """This spec, for a study that is there: a default leaves to an older one what it has."""
        older: Document = {}
        if self.validate_every == AUTO and stored.validate_every == ValidateEvery():
            older["validate_every"] = stored.validate_every  # older than validations at rungs
        if self.portfolio == "default" and isinstance(stored.portfolio, int):
            older["portfolio"] = stored.portfolio  # so many textbook recipes
        if self.pruning and stored.pruning:
            older["pruning"] = self.pruning.continuing(stored.pruning)
        return self.model_copy(update=older)

    @property
    def knows_length(self) -> bool:
        """Whether it is said how long a full trial is; of a command it may not be."""
        return self.epochs is not None or self.steps is not None

    def horizon_epochs(self, steps_per_epoch: int) -> float:
        """Epochs that one full trial trains; 1 of a command whose length is not said."""
        if not self.knows_length:
            return 1.0
        return self.epochs if self.epochs is not None else (self.steps or 0) / steps_per_epoch
