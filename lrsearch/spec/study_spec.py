"""StudySpec: a study file as a validated, frozen value."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from lrsearch.catalog.domains import Choice, Fixed
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import NO_FUSED_FP16, Precision, Recipe
from lrsearch.space.parse import parse_space
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.earlier_study import EarlierStudy
from lrsearch.spec.identity import EXTENDABLE, MUTABLE, YOUNGER, as_floats, differences
from lrsearch.spec.parts import (
    LOSSES,
    Budget,
    Checkpointing,
    Confirm,
    Ema,
    Lease,
    Objective,
    Part,
    Pruning,
    ValidateEvery,
    duration,
)
from lrsearch.user_input import first_error, plain_numbers, read_yaml

#: Fields whose value stays text even if it looks like a number (`name: "2024"`).
TEXT = ("name", "task", "notes", "tags", "project", "checkpoints", "warm_start")
#: `validate_every: auto`: each epoch, and at rungs that no epoch ends near.
AUTO = ValidateEvery(rungs=True)


def _off(value: Any) -> Any:
    return None if value == "none" else value


class StudySpec(Part):
    """A study: task, horizon, budget, objective, space and how trials are run."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    #: `FILE.py:attribute` beside the study file, or `package.module:attribute`.
    task: str
    epochs: int | None = Field(default=None, ge=1)
    #: Horizon in optimizer steps, in place of epochs.
    steps: int | None = Field(default=None, ge=1, lt=2**31)
    budget: Budget
    objective: Objective = Objective(metric="val_loss", direction="minimize")
    space: SearchSpace = Field(default_factory=lambda: parse_space("default"))
    seed: int = Field(default=0, ge=0, lt=2**31)
    validate_every: ValidateEvery = AUTO
    pruning: Pruning | None = Pruning()
    confirm: Confirm | None = Confirm()
    #: A difference of the objective that does not matter to the user: recipes within it are tied.
    tolerance: float = Field(default=0.0, ge=0)
    #: LR range test before the search: `auto` unless it is dearer than 3 % of the budget.
    range_test: Literal["auto", "none"] = "auto"
    baseline: dict[str, Any] | None = None
    enqueue: tuple[dict[str, Any], ...] = ()
    #: How many textbook recipes are trained first, after the user's own.
    textbook: int = Field(default=3, ge=0)
    #: Earlier studies that this one learns from when it is created.
    warm_start: tuple[EarlierStudy, ...] = ()
    precision: Precision = "fp32"
    #: Micro-batches whose mean gradient makes one optimizer step.
    accumulate: int = Field(default=1, ge=1, lt=2**31)
    #: Largest total gradient norm; None clips nothing.
    clip_norm: float | None = Field(default=None, gt=0)
    ema: Ema | None = Ema()
    #: Where and how often trials in training are saved, so that another worker can go on with them.
    checkpoints: Checkpointing = Checkpointing()
    #: When a worker that is silent loses its trial.
    lease: Lease = Lease()
    #: Seconds of training after which a trial is ended as failed; None: as long as it takes.
    max_trial_time: float | None = Field(default=None, gt=0)
    #: What a worker does whose task differs from the study's: refuse, or go on and record it.
    code: Literal["refuse", "warn"] = "refuse"
    notes: str = ""
    tags: tuple[str, ...] = ()
    project: str = ""

    @field_validator("space", mode="before")
    @classmethod
    def _space(cls, value: Any) -> Any:
        return value if isinstance(value, SearchSpace) else parse_space(value)

    @field_validator("objective", mode="before")
    @classmethod
    def _objective(cls, value: Any) -> Any:
        if value in LOSSES:
            return {"metric": value, "direction": "minimize"}
        if isinstance(value, str):
            raise ValueError(
                f"a metric needs its direction: {{metric: {value}, direction: maximize}}"
            )
        return value

    @field_validator("validate_every", mode="before")
    @classmethod
    def _validate_every(cls, value: Any) -> Any:
        if value in ("auto", "epoch"):
            return AUTO if value == "auto" else ValidateEvery()
        if not isinstance(value, dict | ValidateEvery):
            raise ValueError("auto, epoch, {steps: n} or {fraction: f} is accepted")
        return value

    @field_validator("warm_start", mode="before")
    @classmethod
    def _warm_start(cls, value: Any) -> Any:
        if value is None or value == "none":
            return ()
        if not isinstance(value, list | tuple):
            raise ValueError("a list of studies is accepted")
        return tuple(EarlierStudy.parse(entry, f"warm_start[{i}]") for i, entry in enumerate(value))

    @field_validator("pruning", "ema", mode="before")
    @classmethod
    def _none_word(cls, value: Any) -> Any:
        return _off(value)

    @field_validator("confirm", mode="before")
    @classmethod
    def _confirm(cls, value: Any) -> Any:
        return {} if value == "auto" else _off(value)

    @field_validator("textbook", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "none":
            raise ValueError("a number of recipes, or none, is accepted")
        return 0 if value == "none" else value

    @field_validator("accumulate", mode="before")
    @classmethod
    def _once(cls, value: Any) -> Any:
        return 1 if value is None or value == "none" else value

    @field_validator("range_test", mode="before")
    @classmethod
    def _no_value(cls, value: Any) -> Any:
        return "none" if value is None else value

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _checkpoints(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return {"to": value}
        if not isinstance(value, dict | Checkpointing):
            raise ValueError("a folder, a URL or {to: ..., every: 60s, at_most: 20GB} is accepted")
        if isinstance(value, Checkpointing):
            return value
        return {k: v if k == "to" else plain_numbers(v) for k, v in value.items()}

    @field_validator("max_trial_time", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        return duration(_off(value))

    @field_validator("clip_norm", "baseline", mode="before")
    @classmethod
    def _null_word(cls, value: Any) -> Any:
        return _off(value)

    @model_validator(mode="after")
    def _consistent(self) -> "StudySpec":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give the horizon once: epochs or steps")
        if self.steps and self.budget.total_epochs and "batch_size" in self.space.params:
            raise ValueError(
                "steps with a searched params.batch_size has no fixed number of epochs, which "
                "budget.total_epochs needs; give the horizon in epochs"
            )
        if self.validate_every.steps and self.steps and self.validate_every.steps > self.steps:
            raise ValueError("validate_every.steps is beyond the horizon")
        for name, fields in self.space.optimizers.items():
            fused = fields.get("fused")
            choices = fused.choices if isinstance(fused, Choice) else (False,)
            choices = (fused.value,) if isinstance(fused, Fixed) else choices
            if self.precision == "fp16" and True in choices:
                raise SpecError(f"space.optimizers.{name}.fused = true, but {NO_FUSED_FP16}")
        for where, recipe in self.given_recipes():
            self.recipe(recipe, batch_size=None, where=where)
        for i, entry in enumerate(self.warm_start):
            if entry.study == self.name:
                raise SpecError(f"warm_start[{i}] = {self.name!r}, which is this study itself")
            if entry in self.warm_start[:i]:
                raise SpecError(f"warm_start[{i}] names {entry.title!r} a second time")
        return self

    def given_recipes(self) -> list[tuple[str, dict[str, Any]]]:
        """The user's own recipes with their places in the file, baseline first."""
        baseline = [] if self.baseline is None else [("baseline", self.baseline)]
        return baseline + [(f"enqueue[{i}]", recipe) for i, recipe in enumerate(self.enqueue)]

    def recipe(
        self, fields: Mapping[str, Any], *, batch_size: int | None, where: str = "recipe"
    ) -> Recipe:
        """The recipe that the study trains for these fields (optimizer, schedule, warmup, params).

        Everything else comes from the study, so that all its trials can be compared. An optimizer
        that torch has a fused kernel of runs it unless `fields` say otherwise.
        """
        ema = None if self.ema is None else {"epochs": self.ema.epochs}
        study = {
            "epochs": self.epochs,
            "steps": self.steps,
            "precision": self.precision,
            "accumulate": self.accumulate,
            "ema": ema,
            "weights": "ema" if self.ema is not None and self.ema.deploy else "raw",
            "seed": self.seed,
        }
        free = {"clip_norm": self.clip_norm, "batch_size": batch_size}
        if not self.declares(fields):
            name = _optimizer_of(fields)
            raise SpecError(f"{where}.optimizer.name = {name!r} is no optimizer of the study")
        given = Recipe.from_dict(fields, where).model_dump(exclude_unset=True)
        if given.get("batch_size") is None:
            given.pop("batch_size", None)  # the task's own
        for key, value in study.items():
            if key in given and given[key] != value:
                raise SpecError(
                    f"{where}.{key} = {given[key]!r}, but the study trains with {value!r}; "
                    f"leave it out"
                )
        if "fused" not in given["optimizer"] and self._runs_fused(given["optimizer"]["name"]):
            given["optimizer"] = {**given["optimizer"], "fused": True}
        return Recipe.from_dict({**free, **given, **study}, where)

    def _runs_fused(self, optimizer: str) -> bool:
        """Whether the optimizer is fused where neither its recipe nor the space says so."""
        info = optimizer_info(optimizer, "optimizer.name")
        return info.builtin and bool(info.fused) and self.precision != "fp16"

    def declares(self, fields: object) -> bool:
        """Whether a recipe's optimizer is lrsearch's own, or a class that the study itself names.

        No other is imported: recipes come from rows that every worker may write, the study's
        definition does not.
        """
        name = _optimizer_of(fields)
        declared = [*self.space.optimizers, *(_optimizer_of(r) for _, r in self.given_recipes())]
        return not (isinstance(name, str) and "." in name) or name in declared

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str = "study") -> "StudySpec":
        """Raises SpecError, one line that begins with `where`, unless `content` is a study."""
        if not isinstance(content, Mapping):
            raise SpecError(f"{where} = {content!r}, but a mapping of fields is needed")
        try:
            return cls.model_validate(
                {k: v if k in TEXT else plain_numbers(v) for k, v in content.items()}
            )
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from error
        except ValidationError as error:
            raise SpecError(f"{where}: {first_error(error, cls, 'a study file')}") from error

    @classmethod
    def load(cls, path: "str | Path") -> "StudySpec":
        """Read a study file. Raises SpecError naming file, field, value and what is accepted."""
        return cls.from_dict(read_yaml(Path(path), "study file"), where=str(path))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values with the space written out, so that presets may change later."""
        content = self.model_dump(mode="json", exclude={"space"})
        return {**content, "space": self.space.to_dict()}

    @classmethod
    def from_stored(cls, content: Mapping[str, Any]) -> "StudySpec":
        """The spec that `to_dict` wrote into the database. Raises SpecError in one line."""
        try:
            return cls.model_validate({**content, "space": SearchSpace.from_dict(content["space"])})
        except SpecError as error:
            raise SpecError(f"the study's stored definition: {error}") from error
        except ValidationError as error:
            line = first_error(error, cls, "a study")
            newer = any(detail["type"] == "extra_forbidden" for detail in error.errors())
            hint = "; a newer lrsearch made it, update lrsearch on this machine" if newer else ""
            raise SpecError(f"the study's stored definition: {line}{hint}") from error
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise SpecError("the study's stored definition is not one of lrsearch's") from error

    def identity(self) -> dict[str, Any]:
        """The part that makes two studies the same: all but budget, confirm, notes and the like."""
        content = {key: value for key, value in self.to_dict().items() if key not in MUTABLE}
        if self.pruning is not None:
            del content["pruning"]["audit"]
        return content

    def hash(self) -> str:
        """SHA-256 of the identity, the same for 1 and 1.0, and whether younger fields are there."""
        identity = self.identity()
        for path, earlier in YOUNGER.items():
            *outer, key = path.split(".")
            place = identity[outer[0]] if outer else identity
            if place[key] == earlier:
                del place[key]
        text = json.dumps(as_floats(identity), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def differences(self, other: "StudySpec") -> list[str]:
        """`field: mine -> theirs` for everything in which the identities differ."""
        return differences(self.identity(), other.identity(), "")

    def continuing(self, stored: "StudySpec") -> "StudySpec":
        """This spec, for a study that is there: `validate_every: auto` leaves to it what it has.

        One that is older than validations at rungs has one each epoch.
        """
        if self.validate_every == AUTO and stored.validate_every == ValidateEvery():
            return self.model_copy(update={"validate_every": stored.validate_every})
        return self

    def obstacles(self, other: "StudySpec") -> list[str]:
        """Those of the differences that change what a trial is, so that no extension bridges them.

        Rungs are among them: where they differ, signals at them cannot be compared.
        """
        return [
            line
            for line in self.differences(other)
            if line.startswith("pruning.rungs") or re.split(r"[.:]", line)[0] not in EXTENDABLE
        ]

    def horizon_epochs(self, steps_per_epoch: int) -> float:
        """Epochs that one full trial trains."""
        return self.epochs if self.epochs is not None else (self.steps or 0) / steps_per_epoch


def _optimizer_of(recipe: object) -> object:
    optimizer = recipe.get("optimizer") if isinstance(recipe, Mapping) else None
    return optimizer.get("name") if isinstance(optimizer, Mapping) else optimizer
