"""Recipe: everything that determines how a model is trained, as one frozen value."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from lrsearch.catalog.compatibility import illegal
from lrsearch.catalog.groups import (
    OF_TASK,
    GroupRule,
    RecipeGroups,
    check_rules,
    check_selector,
    read_rules,
    short_rule,
)
from lrsearch.catalog.lookup import check_optimizer, check_schedule, optimizer_info
from lrsearch.errors import SpecError, TaskError
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.recipe.title import title
from lrsearch.recipe.warmup import warmup_length
from lrsearch.task.own_code import load, own_names
from lrsearch.user_input import first_error, plain_numbers, read_yaml, to_yaml

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler

    from lrsearch.recipe.parameter_groups import Groups

Precision = Literal["fp32", "bf16", "fp16"]
#: torch 2.13: `_fused_sgd` gets an empty momentum buffer at the first step, and keeps it as it is
#: where the scaler skips that step.
NO_FUSED_FP16 = (
    "not with precision fp16, whose loss scaler skips steps: torch's fused SGD would then start "
    "from memory that nothing has written; leave it out"
)
NO_SECOND_ORDER_FP16 = (
    "it differentiates the gradients, which precision fp16 scales; use precision bf16 or fp32"
)


class Recipe(BaseModel):
    """How a model is trained: optimizer, schedule, horizon, batch size, precision, seed.

    The mappings hold torch's own names and units. Validation raises `SpecError` from `from_dict`
    and `load`; a `Recipe` that exists can be built.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: `{name, lr, momentum | betas, weight_decay, ..., fused}` in torch's names.
    optimizer: Document
    #: `{name, ...}`; fractions are of the steps after warm-up, factors of lr, the peak.
    schedule: Document = Field(default_factory=lambda: {"name": "constant"})
    #: Fraction of all optimizer steps that linear warm-up takes.
    warmup: float = Field(default=0.0, ge=0, lt=1)
    #: Optimizer steps that it takes, whatever the horizon; in place of the fraction.
    warmup_steps: int | None = Field(default=None, ge=0, lt=2**31)
    #: Horizon in epochs; None when `steps` gives it.
    epochs: int | None = Field(default=None, ge=1)
    #: Horizon in optimizer steps; None when `epochs` gives it.
    steps: int | None = Field(default=None, ge=1, lt=2**31)
    batch_size: int | None = Field(default=None, ge=1)
    #: Micro-batches, of `batch_size` samples each, whose mean gradient makes one optimizer step.
    accumulate: int = Field(default=1, ge=1, lt=2**31)
    #: Largest total gradient norm (L2 over all parameters); None clips nothing.
    clip_norm: float | None = Field(default=None, gt=0)
    precision: Precision = "fp32"
    #: Decay of the weight average per epoch `{epochs: 1.0}`: about how many epochs it spans.
    ema: dict[str, float] | None = None
    #: Which weights are deployed and give the value.
    weights: Literal["raw", "ema"] = "raw"
    #: Keyword arguments of the task function.
    params: Document = Field(default_factory=dict)
    #: Seeds initial weights, data order and dropout.
    seed: int = 0
    #: Rules `{match | kind, lr_scale, layer_decay, weight_decay, ...}` of parameter groups: the
    #: first that takes a parameter has it, the rest is the default group. `task`: the groups of
    #: the task's own function. None: all parameters are one group.
    groups: RecipeGroups = None

    @field_validator("optimizer", "schedule", mode="before")
    @classmethod
    def _numbers(cls, value: Unchecked) -> Unchecked:
        if isinstance(value, str):
            return {"name": value}
        return plain_numbers(value)

    @field_validator("groups", mode="before")
    @classmethod
    def _rules(cls, value: Unchecked) -> Unchecked:
        if value == OF_TASK or value is None:
            return value
        if isinstance(value, Mapping):
            return plain_numbers([short_rule(key, item) for key, item in value.items()])
        if not isinstance(value, list | tuple):
            raise ValueError("a list of rules such as {match: backbone, lr_scale: 0.1} is accepted")
        for i, rule in enumerate(value):
            check_selector(rule, f"groups[{i}]")
        return plain_numbers(value)

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> Document:
        """A recipe without groups or warm-up in steps is written as before there were any."""
        content: Document = handler(self)
        for name in ("groups", "warmup_steps"):
            if getattr(self, name) is None:
                content.pop(name, None)
        return content

    @model_validator(mode="after")
    def _legal(self) -> "Recipe":
        check_optimizer(self.optimizer, "optimizer")
        check_schedule(self.schedule, "schedule")
        if isinstance(self.groups, tuple):
            check_rules(self.groups, self.optimizer, "groups")
        if self.warmup and self.warmup_steps is not None:
            raise SpecError("warmup and warmup_steps are both given; leave one of them out")
        warm_up = self.warmup, self.warmup_steps
        if reason := illegal(self.optimizer_name, self.schedule, *warm_up):
            raise SpecError(reason)
        if self.steps is not None:
            self.warmup_length(self.steps)
        if self.epochs is not None and self.steps is not None:
            raise SpecError("epochs and steps are both given; leave one of them out")
        if self.ema is not None and (set(self.ema) != {"epochs"} or self.ema["epochs"] <= 0):
            raise SpecError(f"ema = {self.ema!r}, but {{epochs: 1.0}} or null is accepted")
        if self.weights == "ema" and self.ema is None:
            raise SpecError("weights = 'ema' needs ema: {epochs: 1.0}")
        if self.optimizer.get("fused") and self.precision == "fp16":
            raise SpecError(f"optimizer.fused = true, but {NO_FUSED_FP16}")
        info = optimizer_info(self.optimizer_name, "optimizer.name")
        if info.known.second_order and self.precision == "fp16":
            raise SpecError(f"optimizer {self.optimizer_name}: {NO_SECOND_ORDER_FP16}")
        return self

    @property
    def optimizer_name(self) -> str:
        """Its name in the registry, or `package.module.Class`."""
        return str(self.optimizer["name"])

    @property
    def lr(self) -> float:
        """The peak learning rate, in torch's unit."""
        return float(self.optimizer["lr"])

    @property
    def schedule_name(self) -> str:
        return str(self.schedule["name"])

    @property
    def group_rules(self) -> tuple[GroupRule, ...]:
        """Its own rules; none where it has no groups, and where they are the task's."""
        return read_rules(self.groups) if isinstance(self.groups, tuple) else ()

    def groups_for(self, function: "Groups") -> "Groups":
        """What groups a model's parameters: the recipe's rules, or this function of the task's.

        Raises TaskError where the recipe's groups are the task's, and this is no function.
        """
        if not isinstance(self.groups, str):
            return self.groups
        if not callable(function):
            raise TaskError(
                "the recipe's groups are those of its task's function, which is not here; give it: "
                "recipe.build(model, ..., groups=FUNCTION)"
            )
        return function

    @classmethod
    def from_dict(cls, content: Fields, where: str = "recipe") -> "Recipe":
        """Raises SpecError, one line that begins with `where`, unless `content` is a recipe."""
        if not isinstance(content, Mapping):
            raise SpecError(f"{where} = {content!r}, but a mapping with `optimizer` is needed")
        try:
            return cls.model_validate(plain_numbers(content))
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from error
        except ValidationError as error:
            raise SpecError(f"{where}: {first_error(error, cls, 'a recipe')}") from error
        except RecursionError as error:
            raise SpecError(f"{where} is nested too deep") from error

    def to_dict(self) -> Document:
        """A mapping of plain JSON values; `from_dict` turns it back into an equal recipe."""
        return self.model_dump(mode="json")

    @classmethod
    def load(cls, path: str | Path) -> "Recipe":
        """Read a recipe that `save` or `lrsearch export` wrote, YAML or JSON.

        An optimizer or a schedule of the study's own (`my_task.py:MyOptimizer`) is imported from
        its file, which then lies beside the recipe. Raises SpecError in one line.
        """
        content = read_yaml(Path(path), "recipe")
        load(own_names(content), Path(path).parent, where=f"{path}: ")
        return cls.from_dict(content, where=str(path))

    def save(self, path: str | Path) -> None:
        """Write the recipe as JSON if the name ends so, else YAML."""
        path = Path(path)
        content = self.to_dict()
        text = json.dumps(content, indent=2) if path.suffix == ".json" else to_yaml(content)
        path.write_text(text, encoding="utf-8")

    def total_steps(self, steps_per_epoch: int, epochs: int | None = None) -> int:
        """Optimizer steps of the whole run; `epochs` overrides the recipe's horizon."""
        if epochs is not None:
            return epochs * steps_per_epoch
        if self.steps is not None:
            return self.steps
        if self.epochs is None:
            raise SpecError("the recipe has no horizon; give it epochs or steps")
        return self.epochs * steps_per_epoch

    def warmup_length(self, total_steps: int) -> int:
        """Optimizer steps of its warm-up in a run of so many.

        Raises SpecError where `warmup_steps` leave none for the schedule.
        """
        return warmup_length(total_steps, self.warmup, self.warmup_steps)

    @property
    def has_warmup(self) -> bool:
        return bool(self.warmup or self.warmup_steps)

    def build(
        self,
        model: "torch.nn.Module",
        *,
        steps_per_epoch: int,
        epochs: int | None = None,
        validations: int | None = None,
        groups: "Groups" = None,
    ) -> "tuple[torch.optim.Optimizer, LRScheduler]":
        """The torch optimizer and scheduler for `model`, over the recipe's horizon or `epochs`.

        `steps_per_epoch` counts optimizer steps, of `accumulate` batches each. Call
        `scheduler.step()` once after every `optimizer.step()`; a plateau schedule also takes
        `scheduler.step(val_loss)` after each validation, of which the run has `validations` (one
        an epoch by default). `groups` is the task's function for a recipe whose groups are its.
        Raises TaskError where the model has nothing for the optimizer, or for one of its groups.
        """
        from lrsearch.recipe.build_optimizer import build_optimizer
        from lrsearch.recipe.build_scheduler import build_schedule

        total = self.total_steps(steps_per_epoch, epochs)
        optimizer = build_optimizer(self.optimizer, model, self.groups_for(groups))
        scheduler = build_schedule(
            optimizer,
            self.schedule,
            total_steps=total,
            warmup=self.warmup,
            warmup_steps=self.warmup_steps,
            validations=validations or max(1, round(total / steps_per_epoch)),
        )
        return optimizer, scheduler

    def title(self) -> str:
        """`sgd lr 0.05 (momentum 0.9) · cosine · warmup 5 %`: one line for people."""
        return title(self)


def without_fused(optimizer: Fields) -> Document:
    """What an optimizer does, whichever kernel does it."""
    return {key: value for key, value in optimizer.items() if key != "fused"}
