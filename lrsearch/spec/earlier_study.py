"""EarlierStudy: one entry of `warm_start`, an lrsearch study or a plain Optuna study."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError, near_miss
from lrsearch.user_input import first_error, plain_numbers

#: How many of an earlier study's best recipes are trained first.
TOP = 3
#: Places of a recipe that belong to no optimizer and no schedule.
WHOLE = ("optimizer", "schedule", "warmup")
ACCEPTED = "optimizer, schedule, warmup, OPTIMIZER.FIELD, SCHEDULE.FIELD, params.NAME"


class EarlierStudy(BaseModel):
    """What a new study learns from: its best recipes are enqueued, its trials told the sampler."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: An lrsearch study in the same database.
    study: str | None = None
    #: A plain Optuna study, whose trials the user states to be of the same problem.
    optuna: str | None = None
    #: Where the plain study is; None: the same database.
    storage: str | None = None
    #: Its parameter names to places in a recipe, in torch's units. One that several optimizers
    #: share names several places: `lr: [sgd.lr, adamw.lr]`.
    map: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    #: Places in a recipe to the value that all its trials had there.
    fixed: dict[str, Any] = Field(default_factory=dict)
    #: What its failed trials were: Optuna keeps no trace of whether it was NaN or a crash.
    failed: str = "ignore"
    #: How many of its best recipes are enqueued.
    top: int = Field(default=TOP, ge=0)

    @field_validator("map", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: (item,) if isinstance(item, str) else item for key, item in value.items()}

    @field_validator("failed")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("ignore", "diverged"):
            raise ValueError("ignore or diverged is accepted")
        return value

    @model_validator(mode="after")
    def _complete(self) -> "EarlierStudy":
        if (self.study is None) == (self.optuna is None):
            raise ValueError("name one study: `study` for lrsearch's, `optuna` for a plain one")
        if self.study is not None:
            for key in ("storage", "map", "fixed", "failed"):
                if getattr(self, key) != type(self).model_fields[key].get_default(
                    call_default_factory=True
                ):
                    raise ValueError(f"`{key}` is for a plain Optuna study, named by `optuna`")
            return self
        parts = urlsplit(self.storage or "")
        if parts.password or "password=" in parts.query:
            raise SpecError("storage must not hold a password, others can read it; use PGPASSFILE")
        places = [(f"map.{key}", place) for key, found in self.map.items() for place in found]
        places += [(f"fixed.{place}", place) for place in self.fixed]
        for where, place in places:
            check_place(place, where)
        targets = {place for _, place in places}
        if twice := sorted(set(self.fixed) & {p for found in self.map.values() for p in found}):
            raise SpecError(f"{twice[0]} is both mapped and fixed; leave one out")
        for needed in ("optimizer", "schedule"):
            if needed not in targets:
                raise SpecError(
                    f"neither map nor fixed gives the {needed}; write fixed: "
                    f"{{{needed}: {'adamw' if needed == 'optimizer' else 'cosine'}}} or map it"
                )
        self._check_names(targets)
        return self

    def _check_names(self, targets: set[str]) -> None:
        """What is fixed must be known, and the optimizer's lr be told."""
        if "schedule" in self.fixed and self.fixed["schedule"] not in SCHEDULES:
            name = self.fixed["schedule"]
            raise SpecError(f"fixed.schedule = {name!r}{near_miss(name, SCHEDULES)}")
        lrs = {place for place in targets if place.endswith(".lr")}
        if "optimizer" in self.fixed:
            name = self.fixed["optimizer"]
            optimizer_info(name, "fixed.optimizer")
            if f"{name}.lr" not in lrs:
                raise SpecError(f"neither map nor fixed gives {name}.lr")
        elif not lrs:
            raise SpecError("neither map nor fixed gives an lr; write e.g. map: {lr: adamw.lr}")

    @property
    def title(self) -> str:
        return str(self.study or self.optuna)

    @classmethod
    def parse(cls, content: object, where: str) -> "EarlierStudy":
        """Read an entry: a study's name, or a mapping. Raises SpecError, one line with `where`."""
        if isinstance(content, EarlierStudy):
            return content
        if isinstance(content, str):
            content = {"study": content}
        if not isinstance(content, Mapping):
            raise SpecError(f"{where} = {content!r}, but a study's name or a mapping is accepted")
        content = {
            key: plain_numbers(value) if key in ("fixed", "top") else value
            for key, value in content.items()
        }
        try:
            return cls.model_validate(content)
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from error
        except ValidationError as error:
            line = first_error(error, cls, "an entry of warm_start")
            raise SpecError(f"{where}: {line}") from error

    def fields(self, theirs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The recipe's fields for a plain study's parameters; None if they give no recipe."""
        values = dict(self.fixed)
        for name, places in self.map.items():
            if name in theirs:
                values.update(dict.fromkeys(places, theirs[name]))
        optimizer = _name(values.get("optimizer"), OPTIMIZERS)
        schedule = _name(values.get("schedule"), SCHEDULES)
        if f"{optimizer}.lr" not in values or schedule is None:
            return None
        return {
            "optimizer": _owned(values, str(optimizer), with_betas=True),
            "schedule": _owned(values, schedule),
            "warmup": values.get("warmup", 0.0),
            "params": {
                place.removeprefix("params."): value
                for place, value in values.items()
                if place.startswith("params.")
            },
        }


def _name(value: Any, known: Mapping[str, Any]) -> str | None:
    """The registry's name for `AdamW`, `SGD` and the like, which studies often write as torch."""
    if not isinstance(value, str):
        return None
    return value if value in known or "." in value else value.lower()


def _owned(values: Mapping[str, Any], owner: str, *, with_betas: bool = False) -> dict[str, Any]:
    fields = {
        place.removeprefix(f"{owner}."): value
        for place, value in values.items()
        if place.rpartition(".")[0] == owner
    }
    if with_betas and ("beta1" in fields or "beta2" in fields):
        default = optimizer_info(owner, "optimizer").default
        fields["betas"] = [fields.pop(half, default(half)) for half in ("beta1", "beta2")]
    return {"name": owner, **fields}


def check_place(place: str, where: str) -> None:
    """Raises SpecError unless `place` is one of a recipe's, such as `adamw.lr`."""
    owner, _, field = place.rpartition(".")
    if place in WHOLE or (owner == "params" and field):
        return
    if owner in SCHEDULES:
        fields = SCHEDULES[owner].fields
    elif owner in OPTIMIZERS or "." in owner:
        fields = optimizer_info(owner, where).searchable()
    else:
        known = [*WHOLE, *OPTIMIZERS, *SCHEDULES, "params"]
        hint = near_miss(owner, known) if owner else ""
        if "did you mean" not in hint:
            hint = f"; accepted: {ACCEPTED}"
        raise SpecError(f"{where} names {place!r}, which is no place of a recipe{hint}")
    if field not in fields:
        hint = near_miss(field, fields) if fields else "; it has none"
        raise SpecError(f"{where} names {place!r}, but {field!r} is not a field of {owner}{hint}")
