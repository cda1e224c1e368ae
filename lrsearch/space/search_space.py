"""SearchSpace: which recipes may be sampled, in units that suit a sampler.

Parameter names are conditional on optimizer and schedule (`adamw.lr`, `one_cycle.pct_start`).
Ranges that a user writes are in torch's own units.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from lrsearch.catalog.compatibility import takes_warmup
from lrsearch.catalog.domains import Choice, Domain, Fixed, Value, read_stored
from lrsearch.catalog.lookup import optimizer_info, schedule_info
from lrsearch.plain_data import Document, Fields
from lrsearch.space.groups import (
    SpaceGroups,
    group_values,
    plain_groups,
    read_groups,
    suggest_groups,
)
from lrsearch.space.sampling_units import (
    Suggester,
    contains,
    encode,
    equivalence,
    parameter_name,
    suggest,
)

#: The task's batch size for given params; None where it has none of its own.
BatchSize = Callable[[Fields], int | None]


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    #: Optimizer name to its fields' domains; `beta1` and `beta2` are the halves of `betas`.
    optimizers: Mapping[str, Mapping[str, Domain]]
    #: Schedule name to its fields' domains.
    schedules: Mapping[str, Mapping[str, Domain]]
    #: Fraction of all steps; schedules that take no warm-up get 0.
    warmup: Domain
    #: Keyword arguments of the task function.
    params: Mapping[str, Domain]
    #: Optimizer steps of warm-up, whatever the horizon; None: `warmup` says it.
    warmup_steps: Domain | None = None
    #: Parameter groups; None: all parameters of a model are one group.
    groups: SpaceGroups = None

    def suggest(
        self, trial: Suggester, batch_size: BatchSize | None = None, *, accumulate: int = 1
    ) -> Document:
        """Ask `trial` for the fields of one recipe: optimizer, schedule, warmup, params, groups.

        `batch_size` tells the task's own for given params, of which an optimizer step takes
        `accumulate`: momentum-equivalent lr depends on their product.
        """
        params = {k: suggest(trial, f"params.{k}", d) for k, d in self.params.items()}
        own = None if batch_size is None else batch_size(params)
        size = samples_of_step({"params": params, "accumulate": accumulate}, own)
        optimizer = _pick(trial, "optimizer", list(self.optimizers))
        schedule = _pick(trial, "schedule", list(self.schedules))
        fields = {
            key: suggest(trial, f"{schedule}.{key}", domain)
            for key, domain in self.schedules[schedule].items()
        }
        name, domain = self.warm_up
        warmup = suggest(trial, name, domain) if takes_warmup(optimizer, schedule) else 0
        return {
            "optimizer": self._suggest_optimizer(trial, optimizer, size),
            "schedule": {"name": schedule, **fields},
            "warmup": 0.0,
            name: warmup if name == "warmup_steps" else float(warmup),
            "params": params,
            **suggest_groups(self.groups, trial),
        }

    @property
    def warm_up(self) -> tuple[str, Domain]:
        """The recipe's field that warm-up is sampled in, and its domain."""
        if self.warmup_steps is None:
            return "warmup", self.warmup
        return "warmup_steps", self.warmup_steps

    def _suggest_optimizer(self, trial: Suggester, name: str, size: int | None) -> Document:
        info, domains = optimizer_info(name, "optimizer"), self.optimizers[name]
        values: Document = {}
        for key, domain in domains.items():
            if key != "lr":
                values[key] = suggest(trial, f"{name}.{key}", domain)
        momentum = info.taken(values, "momentum")
        scale = equivalence(momentum or 0.0, size)
        lr = suggest(trial, f"{name}.lr", domains["lr"], scale)
        if momentum == 0 and info.taken(values, "nesterov"):
            values["nesterov"] = False
        if "beta1" in values or "beta2" in values:
            halves = ("beta1", "beta2")
            values["betas"] = [values.pop(half, info.default(half)) for half in halves]
        return {"name": name, "lr": lr, **values}

    def params_of(self, recipe: Fields, batch_size: int | None = None) -> Document | None:
        """The sampler's parameters that would give `recipe`, or None if it lies outside.

        `batch_size` is the task's own, for a recipe that has none. Whether the optimizer is fused
        matters only where the space has a choice of that.
        """
        o, s = pair_of(recipe)
        given: Fields = recipe["params"]
        if o not in self.optimizers or s not in self.schedules:
            return None
        if any(name not in self.params for name in given):
            return None  # the task is another one than the space's
        scale = self._scale(recipe, batch_size)
        optimizer = self._optimizer_values(recipe["optimizer"])
        schedule = self._schedule_values(recipe["schedule"])
        groups = group_values(self.groups, recipe)
        if optimizer is None or schedule is None or groups is None:
            return None
        wanted = [(f"{o}.{key}", domain, value) for key, (domain, value) in optimizer.items()]
        wanted += [(f"{s}.{key}", domain, value) for key, (domain, value) in schedule.items()]
        wanted += [(f"params.{key}", d, given.get(key)) for key, d in self.params.items()]
        wanted += groups
        name, domain = self.warm_up
        other = "warmup" if name == "warmup_steps" else "warmup_steps"
        if recipe.get(other):
            return None
        if takes_warmup(o, s):
            wanted.append((name, domain, recipe.get(name) or 0))
        params: Document = {"optimizer": o, "schedule": s}
        for name, domain, value in wanted:
            if not contains(domain, value, scale):
                return None
            if not isinstance(domain, Fixed):
                params[parameter_name(name, domain)] = encode(domain, value, scale)
        return params

    def _scale(self, recipe: Fields, batch_size: int | None) -> float:
        """What momentum-equivalent lr is as a multiple of the recipe's."""
        optimizer: Fields = recipe["optimizer"]
        info = optimizer_info(optimizer["name"], "optimizer")
        momentum = info.taken(optimizer, "momentum")
        return equivalence(momentum or 0.0, samples_of_step(recipe, batch_size))

    def _optimizer_values(self, optimizer: Fields) -> "dict[str, tuple[Domain, Value]] | None":
        """Each domain of the optimizer with its value; None if another field is not torch's."""
        name = optimizer["name"]
        info, domains = optimizer_info(name, "optimizer"), dict(self.optimizers[name])
        left = {key: value for key, value in optimizer.items() if key != "name"}
        if not isinstance(domains.get("fused"), Choice):
            left.pop("fused", None)
            domains.pop("fused", None)
        if "beta1" in info.searchable() and "betas" in left.keys() - domains.keys():
            left["beta1"], left["beta2"] = left.pop("betas")
        if info.taken(left, "momentum") == 0 and not left.pop("nesterov", False):
            # `suggest` turns nesterov off here, whatever was sampled.
            nesterov = domains.get("nesterov")
            left |= {} if nesterov is None else {"nesterov": contains(nesterov, True)}
        found = {key: (d, left.pop(key, info.default(key))) for key, d in domains.items()}
        return None if any(value != info.default(key) for key, value in left.items()) else found

    def _schedule_values(self, schedule: Fields) -> "dict[str, tuple[Domain, Value]] | None":
        """Each domain of the schedule with its value; None if another field is not its default."""
        name = schedule["name"]
        defaults = schedule_info(name, "schedule").defaults
        left = {**defaults, **{key: value for key, value in schedule.items() if key != "name"}}
        found = {key: (domain, left.pop(key)) for key, domain in self.schedules[name].items()}
        of_study = schedule_info(name, "schedule").of_study
        left = {key: value for key, value in left.items() if key not in of_study}
        return None if any(value != defaults.get(key) for key, value in left.items()) else found

    def to_dict(self) -> Document:
        """Plain JSON values with every range written out; `from_dict` gives an equal space."""

        def plain(fields: Mapping[str, Domain]) -> Document:
            return {key: asdict(domain) for key, domain in fields.items()}

        return {
            "optimizers": {name: plain(fields) for name, fields in self.optimizers.items()},
            "schedules": {name: plain(fields) for name, fields in self.schedules.items()},
            "warmup": asdict(self.warmup),
            "params": plain(self.params),
            **({} if self.warmup_steps is None else {"warmup_steps": asdict(self.warmup_steps)}),
            **({} if self.groups is None else {"groups": plain_groups(self.groups)}),
        }

    @classmethod
    def from_dict(cls, content: Fields) -> "SearchSpace":
        """Raises SpecError for what `to_dict` never gave."""

        def fields(where: str, plain: Fields) -> dict[str, Domain]:
            return {key: read_stored(domain, f"{where}.{key}") for key, domain in plain.items()}

        optimizers, schedules = content["optimizers"], content["schedules"]
        for name in schedules:
            schedule_info(name, "space.schedules")
        return cls(
            optimizers={name: fields(name, plain) for name, plain in optimizers.items()},
            schedules={name: fields(name, plain) for name, plain in schedules.items()},
            warmup=read_stored(content["warmup"], "warmup"),
            params=fields("params", content["params"]),
            warmup_steps=read_stored(content["warmup_steps"], "warmup_steps")
            if "warmup_steps" in content
            else None,
            groups=read_groups(content.get("groups")),
        )


def pair_of(recipe: Fields) -> tuple[str, str]:
    """The names of a recipe's optimizer and schedule."""
    return recipe["optimizer"]["name"], recipe["schedule"]["name"]


def samples_of_step(recipe: Fields, own: int | None) -> int | None:
    """How many samples an optimizer step of the recipe takes, where it is known."""
    size: int | None = recipe["params"].get("batch_size") or recipe.get("batch_size") or own
    return size and size * int(recipe.get("accumulate", 1))


def _pick(trial: Suggester, name: str, names: list[str]) -> str:
    return str(trial.suggest_categorical(name, names))
