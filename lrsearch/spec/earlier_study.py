"""EarlierStudy: one entry of `warm_start`, an lrsearch study or a plain Optuna study."""

from collections.abc import Container, Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.catalog.script import SCRIPT
from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Document, Fields, Unchecked
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
    fixed: Document = Field(default_factory=dict)
    #: What its failed trials were: Optuna keeps no trace of whether it was NaN or a crash.
    failed: str = "ignore"
    #: How many of its best recipes are enqueued.
    top: int = Field(default=TOP, ge=0)

    @field_validator("map", mode="before")
    @classmethod
    def _several(cls, value: Unchecked) -> Unchecked:
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
            self._refuse_plain_fields()
        else:
            self._check_storage()
            self._check_places()
        return self

    def _refuse_plain_fields(self) -> None:
        for key in ("storage", "map", "fixed", "failed"):
            default = type(self).model_fields[key].get_default(call_default_factory=True)
            if getattr(self, key) != default:
                raise ValueError(f"`{key}` is for a plain Optuna study, named by `optuna`")

    def _check_storage(self) -> None:
        parts = urlsplit(self.storage or "")
        if parts.password or "password=" in parts.query:
            raise SpecError("storage must not hold a password, others can read it; use PGPASSFILE")

    def _check_places(self) -> None:
        """Each place is one of a recipe's, none is given twice, and together they give a recipe."""
        mapped = [(f"map.{key}", place) for key, found in self.map.items() for place in found]
        for where, place in (*mapped, *((f"fixed.{place}", place) for place in self.fixed)):
            check_place(place, where)
        targets = {place for _, place in mapped}
        if twice := sorted(targets & set(self.fixed)):
            raise SpecError(f"{twice[0]} is both mapped and fixed; leave one out")
        targets |= set(self.fixed)
        for needed, example in (("optimizer", "adamw"), ("schedule", "cosine")):
            if needed not in targets:
                raise SpecError(
                    f"neither map nor fixed gives the {needed}; write fixed: "
                    f"{{{needed}: {example}}} or map it"
                )
        self._check_names(targets)

    def _check_names(self, targets: set[str]) -> None:
        """What is fixed must be known, and the optimizer's lr be told."""
        schedule, optimizer = self.fixed.get("schedule"), self.fixed.get("optimizer")
        if "schedule" in self.fixed and schedule not in (*SCHEDULES, SCRIPT):
            raise SpecError(f"fixed.schedule = {schedule!r}{near_miss(schedule, SCHEDULES)}")
        if "optimizer" in self.fixed:
            optimizer_info(optimizer, "fixed.optimizer")
            if f"{optimizer}.lr" not in targets:
                raise SpecError(f"neither map nor fixed gives {optimizer}.lr")
        elif not any(place.endswith(".lr") for place in targets):
            raise SpecError("neither map nor fixed gives an lr; write e.g. map: {lr: adamw.lr}")

    @property
    def title(self) -> str:
        return str(self.study or self.optuna)

    @classmethod
    def parse(cls, content: "Unchecked | EarlierStudy", where: str) -> "EarlierStudy":
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

    def fields(self, theirs: Fields) -> Document | None:
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
            "schedule": {"name": SCRIPT} if schedule == SCRIPT else _owned(values, schedule),
            "warmup": values.get("warmup", 0.0),
            "params": {
                place.removeprefix("params."): value
                for place, value in values.items()
                if place.startswith("params.")
            },
        }


def _name(value: Unchecked, known: Container[str]) -> str | None:
    """The registry's name for `AdamW`, `SGD` and the like, which studies often write as torch."""
    if not isinstance(value, str):
        return None
    return value if value in known or "." in value else value.lower()


def _owned(values: Fields, owner: str, *, with_betas: bool = False) -> Document:
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
    elif owner in (*OPTIMIZERS, SCRIPT) or "." in owner:
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
