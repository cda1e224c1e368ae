"""SearchSpace: which recipes may be sampled, in units that suit a sampler.

Parameter names are conditional on optimizer and schedule (`adamw.lr`, `one_cycle.pct_start`).
A `1-momentum` or `1-beta1` is sampled instead of the decay rate itself, log-uniformly (Wang et al.
2021; Dahl et al. 2023), and `sgd.lr` as lr * 0.1 / (1 - momentum): its best value then hardly
depends on the momentum beside it. Ranges that a user writes are in torch's own units.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from lrsearch.errors import SpecError, near_miss
from lrsearch.optimizers import OPTIMIZERS, Limit, optimizer_info
from lrsearch.ranges import Choice, Domain, Fixed, Range, Value, parse
from lrsearch.schedules import SCHEDULES, Fractions, Word, schedule_info

#: Momentum at which momentum-equivalent lr equals lr.
REFERENCE_MOMENTUM = 0.9

PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        # One of each family that the playbook tunes first: momentum, Adam with decoupled decay,
        # and the adaptive rate without momentum correction.
        "optimizers": {"sgd": {}, "adamw": {}, "rmsprop": {}},
        "schedules": {
            "constant": {},
            "step": {},
            "exponential": {},
            "cosine": {},
            "linear": {},
            "one_cycle": {},
        },
        # AlgoPerf's fixed 5 %, and none; beyond 10 % train longer instead (Tuning Playbook).
        "warmup": [0.0, 0.05],
    },
}


class Suggester(Protocol):
    """What a space needs of an Optuna trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


def _scalar(value: Value) -> Any:
    """A choice in the types that Optuna takes: a list becomes its JSON text."""
    return json.dumps(value) if isinstance(value, tuple) else value


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

    def suggest(self, trial: Suggester) -> dict[str, Any]:
        """Ask `trial` for the fields of one recipe: optimizer, schedule, warmup, params."""
        optimizer = _pick(trial, "optimizer", list(self.optimizers))
        schedule = _pick(trial, "schedule", list(self.schedules))
        fields = {
            key: _suggest(trial, f"{schedule}.{key}", domain)
            for key, domain in self.schedules[schedule].items()
        }
        warmup = 0.0
        if SCHEDULES[schedule].warmup:
            warmup = _suggest(trial, "warmup", self.warmup)
        return {
            "optimizer": self._suggest_optimizer(trial, optimizer),
            "schedule": {"name": schedule, **fields},
            "warmup": warmup,
            "params": {k: _suggest(trial, f"params.{k}", d) for k, d in self.params.items()},
        }

    def _suggest_optimizer(self, trial: Suggester, name: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        domains = self.optimizers[name]
        for key, domain in domains.items():
            if key != "lr":
                values[key] = _suggest(trial, f"{name}.{key}", domain)
        lr = _suggest(trial, f"{name}.lr", domains["lr"], momentum=values.get("momentum", 0.0))
        if values.get("nesterov") and not values.get("momentum"):
            values["nesterov"] = False
        if "beta1" in values or "beta2" in values:
            values["betas"] = [values.pop("beta1", 0.9), values.pop("beta2", 0.999)]
        return {"name": name, "lr": lr, **values}

    def params_of(self, recipe: Mapping[str, Any]) -> dict[str, Any] | None:
        """The sampler's parameters that would give `recipe`, or None if it lies outside."""
        optimizer, schedule = dict(recipe["optimizer"]), dict(recipe["schedule"])
        o, s = optimizer.pop("name"), schedule.pop("name")
        if o not in self.optimizers or s not in self.schedules:
            return None
        if "betas" in optimizer and "betas" not in self.optimizers[o]:
            optimizer["beta1"], optimizer["beta2"] = optimizer.pop("betas")
        schedule = {**SCHEDULES[s].defaults, **schedule}
        wanted = [
            (f"{o}.{k}", d, optimizer.pop(k, OPTIMIZERS[o].default(k)))
            for k, d in self.optimizers[o].items()
        ]
        wanted += [(f"{s}.{k}", d, schedule.pop(k)) for k, d in self.schedules[s].items()]
        wanted += [(f"params.{k}", d, recipe["params"].get(k)) for k, d in self.params.items()]
        if SCHEDULES[s].warmup:
            wanted.append(("warmup", self.warmup, recipe["warmup"]))
        params: dict[str, Any] = {"optimizer": o, "schedule": s}
        momentum = recipe["optimizer"].get("momentum", 0.0)
        for name, domain, value in wanted:
            if not _contains(domain, value, momentum):
                return None
            if not isinstance(domain, Fixed):
                params[_parameter_name(name, domain)] = _encode(domain, value, momentum)
        return params

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values with every range written out; `from_dict` gives an equal space."""

        def plain(fields: Mapping[str, Domain]) -> dict[str, Any]:
            return {key: asdict(domain) for key, domain in fields.items()}

        return {
            "optimizers": {name: plain(fields) for name, fields in self.optimizers.items()},
            "schedules": {name: plain(fields) for name, fields in self.schedules.items()},
            "warmup": asdict(self.warmup),
            "params": plain(self.params),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "SearchSpace":
        def fields(plain: Mapping[str, Any]) -> dict[str, Domain]:
            return {key: _domain(domain) for key, domain in plain.items()}

        return cls(
            optimizers={name: fields(plain) for name, plain in content["optimizers"].items()},
            schedules={name: fields(plain) for name, plain in content["schedules"].items()},
            warmup=_domain(content["warmup"]),
            params=fields(content["params"]),
        )


def _domain(plain: Mapping[str, Any]) -> Domain:
    def value(item: Any) -> Any:
        return tuple(item) if isinstance(item, list) else item

    if "choices" in plain:
        return Choice(choices=tuple(value(item) for item in plain["choices"]))
    return Fixed(value=value(plain["value"])) if "value" in plain else Range(**plain)


def _pick(trial: Suggester, name: str, names: list[str]) -> str:
    return str(trial.suggest_categorical(name, names))


def _parameter_name(name: str, domain: Domain) -> str:
    if isinstance(domain, Range) and domain.unit == "complement":
        owner, _, key = name.rpartition(".")
        return f"{owner}.1-{key}"
    return name


def _bounds(domain: Range, momentum: float) -> tuple[float, float]:
    """Low and high in the sampling unit."""
    if domain.unit == "plain" or domain.in_unit:
        return domain.low, domain.high
    if domain.unit == "complement":
        return 1 - domain.high, 1 - domain.low
    factor = (1 - REFERENCE_MOMENTUM) / (1 - momentum)
    return domain.low * factor, domain.high * factor


def _encode(domain: Domain, value: Any, momentum: float) -> Any:
    """`value`, in torch's units, in the sampling unit."""
    if isinstance(domain, Range) and domain.unit == "complement":
        return 1 - value
    if isinstance(domain, Range) and domain.unit == "momentum_equivalent":
        return value * (1 - REFERENCE_MOMENTUM) / (1 - momentum)
    return _scalar(tuple(value) if isinstance(value, list) else value)


def _decode(domain: Range, sampled: float, momentum: float) -> float:
    if domain.unit == "complement":
        value = 1 - sampled
    elif domain.unit == "momentum_equivalent":
        value = sampled * (1 - momentum) / (1 - REFERENCE_MOMENTUM)
    else:
        return sampled
    if domain.in_unit:
        return value
    return min(max(value, domain.low), domain.high)  # rounding may leave the range by one ulp


def _suggest(trial: Suggester, name: str, domain: Domain, momentum: float = 0.0) -> Any:
    name = _parameter_name(name, domain)
    if isinstance(domain, Fixed):
        return list(domain.value) if isinstance(domain.value, tuple) else domain.value
    if isinstance(domain, Choice):
        scalars = [_scalar(choice) for choice in domain.choices]
        choice = domain.choices[scalars.index(trial.suggest_categorical(name, scalars))]
        return list(choice) if isinstance(choice, tuple) else choice
    if domain.integer:
        first, last, step = int(domain.low), int(domain.high), int(domain.step or 1)
        return trial.suggest_int(name, first, last, step=step, log=domain.log)
    low, high = _bounds(domain, momentum)
    sampled = trial.suggest_float(name, low, high, step=domain.step, log=domain.log)
    return _decode(domain, sampled, momentum)


def _contains(domain: Domain, value: Any, momentum: float) -> bool:
    if isinstance(domain, Fixed | Choice):
        choices = [domain.value] if isinstance(domain, Fixed) else domain.choices
        return (tuple(value) if isinstance(value, list) else value) in choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low, high = _bounds(domain, momentum)
    return bool(low <= _encode(domain, value, momentum) <= high)


def parse_space(content: object, where: str = "space") -> SearchSpace:
    """A preset's name or a mapping as in a study file. Raises SpecError naming the field."""
    if isinstance(content, str):
        if content not in PRESETS:
            raise SpecError(f"{where} = {content!r} is not a preset{near_miss(content, PRESETS)}")
        content = PRESETS[content]
    if not isinstance(content, Mapping):
        raise SpecError(f"{where} = {content!r}, but a preset's name or a mapping is accepted")
    known = ("optimizers", "schedules", "warmup", "params")
    for key in content:
        if key not in known:
            raise SpecError(f"{where}.{key} is not a field of a space{near_miss(key, known)}")
    merged = {**PRESETS["default"], "params": {}, **content}
    warmup = parse(merged["warmup"], f"{where}.warmup")
    _check_domain(warmup, Limit(high=1.0), f"{where}.warmup")
    params = merged["params"] or {}
    if not isinstance(params, Mapping):
        raise SpecError(f"{where}.params = {params!r}, but a mapping of names to values is needed")
    space = SearchSpace(
        optimizers={
            name: _optimizer_domains(name, fields, f"{where}.optimizers.{name}")
            for name, fields in _named(merged["optimizers"], f"{where}.optimizers").items()
        },
        schedules={
            name: _schedule_domains(name, fields, f"{where}.schedules.{name}")
            for name, fields in _named(merged["schedules"], f"{where}.schedules").items()
        },
        warmup=warmup,
        params={key: parse(value, f"{where}.params.{key}") for key, value in params.items()},
    )
    _check_legal(space, where)
    return space


def _named(content: object, where: str) -> Mapping[str, Any]:
    if isinstance(content, str):
        content = [content]
    if isinstance(content, list):
        content = {name: {} for name in content if isinstance(name, str)}
    if not isinstance(content, Mapping) or not content:
        raise SpecError(f"{where} is empty or no mapping; write e.g. {{adamw: {{}}}}")
    return content


def _fields(content: object, where: str) -> Mapping[str, Any]:
    if content is not None and not isinstance(content, Mapping):
        raise SpecError(f"{where} = {content!r}, but a mapping of fields is needed; {{}} = preset")
    return content or {}


def _optimizer_domains(name: str, content: object, where: str) -> dict[str, Domain]:
    info = optimizer_info(name, where)
    limits = info.searchable()
    domains = dict(info.ranges)
    written = _fields(content, where)
    if "betas" in written:
        domains.pop("beta1", None), domains.pop("beta2", None)
    for key, value in written.items():
        place = f"{where}.{key}"
        if key not in limits:
            raise SpecError(f"{place} is not a field of {name}{near_miss(key, limits)}")
        _refuse_pair(value, place, ranged=key == "lr" or isinstance(info.ranges.get(key), Range))
        domain = parse(value, place, is_list=limits[key].kind == "pair")
        _check_domain(domain, limits[key], place)
        domains[key] = _in_unit_of(info.ranges.get(key), domain)
    fused = domains.get("fused")
    if fused is not None and fused != Fixed(value=False) and not info.fused:
        raise SpecError(f"{where}.fused = true, but torch has no fused {info.torch_class}")
    return domains


def _in_unit_of(preset: Domain | None, domain: Domain) -> Domain:
    """The user's range, sampled in the unit of the preset's; it stays in torch's units."""
    if not isinstance(preset, Range) or not isinstance(domain, Range) or domain.step is not None:
        return domain
    log = domain.log or preset.unit == "complement"
    return replace(domain, unit=preset.unit, log=log, integer=False)


def _schedule_domains(name: str, content: object, where: str) -> dict[str, Domain]:
    info = schedule_info(name, where)
    domains = dict(info.ranges)
    for key, value in _fields(content, where).items():
        place = f"{where}.{key}"
        if key not in info.fields:
            hint = near_miss(key, info.fields) if info.fields else "; it has none"
            raise SpecError(f"{place} is not a field of {name}{hint}")
        limit = info.fields[key]
        _refuse_pair(value, place, ranged=isinstance(info.ranges.get(key), Range))
        domain = parse(value, place, is_list=isinstance(limit, Fractions))
        _check_domain(domain, limit, place)
        domains[key] = replace(domain, integer=False) if isinstance(domain, Range) else domain
    return domains


def _refuse_pair(value: object, where: str, *, ranged: bool) -> None:
    """Two numbers for a field that is usually a range may be meant as one: never guess."""
    if ranged and isinstance(value, list) and len(value) == 2:
        raise SpecError(
            f"{where} = {value!r} is ambiguous: write {{low: {value[0]}, high: {value[1]}}} for a "
            f"range (log: true for a log scale) or {{choices: {value!r}}} for two choices"
        )


def _check_domain(domain: Domain, limit: Limit | Fractions | Word, where: str) -> None:
    if isinstance(domain, Range):
        limit.check(domain.low, f"{where}.low")
        limit.check(domain.high, f"{where}.high")
        return
    for value in [domain.value] if isinstance(domain, Fixed) else domain.choices:
        limit.check(value, where)


def _check_legal(space: SearchSpace, where: str) -> None:
    """Refuse what could only be sampled illegally. Every rule reads the registries."""
    for schedule, fields in space.schedules.items():
        info = SCHEDULES[schedule]
        if not info.warmup and not _contains(space.warmup, 0.0, 0.0):
            raise SpecError(
                f"{where}.schedules.{schedule} takes no warm-up, but {where}.warmup never is 0; "
                f"add 0.0 to warmup or leave {schedule} out"
            )
        flag = info.momentum_flag
        if not flag or not _contains(fields[flag], True, 0.0):
            continue
        for optimizer, domains in space.optimizers.items():
            momentum = OPTIMIZERS[optimizer].momentum
            place = f"{where}.schedules.{schedule}.{flag} = true"
            if momentum is None:
                raise SpecError(f"{place} needs momentum, which {optimizer} has not")
            keys = ("beta1", "betas") if momentum == "betas" else ("momentum",)
            if any(not isinstance(domains.get(key, Fixed(value=0)), Fixed) for key in keys):
                raise SpecError(
                    f"{place} sets the momentum that {where}.optimizers.{optimizer} searches; "
                    f"fix {keys[0]} there or write {flag}: false"
                )
    for optimizer, domains in space.optimizers.items():
        never = domains.get("momentum", Fixed(value=0.0)) == Fixed(value=0.0)
        if never and domains.get("nesterov", Fixed(value=False)) == Fixed(value=True):
            raise SpecError(f"{where}.optimizers.{optimizer}.nesterov = true needs a momentum")
