"""SearchSpace: which recipes may be sampled, in units that suit a sampler.

Parameter names are conditional on optimizer and schedule (`adamw.lr`, `one_cycle.pct_start`).
Ranges that a user writes are in torch's own units.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from lrsearch.errors import SpecError, near_miss
from lrsearch.optimizers import OPTIMIZERS, Limit, optimizer_info
from lrsearch.ranges import Choice, Domain, Fixed, Range, parse
from lrsearch.schedules import SCHEDULES, Fractions, Word, schedule_info
from lrsearch.units import Suggester, contains, encode, parameter_name, suggest

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
            key: suggest(trial, f"{schedule}.{key}", domain)
            for key, domain in self.schedules[schedule].items()
        }
        warmup = 0.0
        if SCHEDULES[schedule].warmup:
            warmup = suggest(trial, "warmup", self.warmup)
        return {
            "optimizer": self._suggest_optimizer(trial, optimizer),
            "schedule": {"name": schedule, **fields},
            "warmup": warmup,
            "params": {k: suggest(trial, f"params.{k}", d) for k, d in self.params.items()},
        }

    def _suggest_optimizer(self, trial: Suggester, name: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        domains = self.optimizers[name]
        for key, domain in domains.items():
            if key != "lr":
                values[key] = suggest(trial, f"{name}.{key}", domain)
        lr = suggest(trial, f"{name}.lr", domains["lr"], momentum=values.get("momentum", 0.0))
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
        momentum = optimizer.get("momentum", 0.0)
        if not momentum and not optimizer.get("nesterov") and "nesterov" in self.optimizers[o]:
            # `suggest` turns nesterov off here, whatever was sampled.
            optimizer["nesterov"] = contains(self.optimizers[o]["nesterov"], True, 0.0)
        wanted = [
            (f"{o}.{k}", d, optimizer.pop(k, OPTIMIZERS[o].default(k)))
            for k, d in self.optimizers[o].items()
        ]
        wanted += [(f"{s}.{k}", d, schedule.pop(k)) for k, d in self.schedules[s].items()]
        wanted += [(f"params.{k}", d, recipe["params"].get(k)) for k, d in self.params.items()]
        if SCHEDULES[s].warmup:
            wanted.append(("warmup", self.warmup, recipe["warmup"]))
        if any(value != OPTIMIZERS[o].default(key) for key, value in optimizer.items()):
            return None  # a field that the space leaves to torch
        params: dict[str, Any] = {"optimizer": o, "schedule": s}
        for name, domain, value in wanted:
            if not contains(domain, value, momentum):
                return None
            if not isinstance(domain, Fixed):
                params[parameter_name(name, domain)] = encode(domain, value, momentum)
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
        for i, name in enumerate(content):
            if not isinstance(name, str):
                raise SpecError(f"{where}[{i}] = {name!r}, but a list here holds names only")
        content = {name: {} for name in content}
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
        for half in ("beta1", "beta2"):
            if half in written:
                raise SpecError(f"{where}.betas and {where}.{half} are both given; leave one out")
            domains.pop(half, None)
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
    if not isinstance(domain, Range):
        return domain
    domain = replace(domain, integer=False)  # 0 and 1 are as good as 0.0 and 1.0 here
    if not isinstance(preset, Range) or domain.step is not None:
        return domain
    return replace(domain, unit=preset.unit, log=domain.log or preset.unit == "complement")


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
        if not info.warmup and not contains(space.warmup, 0.0, 0.0):
            raise SpecError(
                f"{where}.schedules.{schedule} takes no warm-up, but {where}.warmup never is 0; "
                f"add 0.0 to warmup or leave {schedule} out"
            )
        flag = info.momentum_flag
        if not flag or not contains(fields[flag], True, 0.0):
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
        place = f"{where}.optimizers.{optimizer}"
        off = Fixed(value=False)
        if domains.get("nesterov", off) != off and domains.get("dampening", off) != off:
            raise SpecError(f"{place}.dampening needs nesterov: false; torch refuses both together")
        never = domains.get("momentum", Fixed(value=0.0)) == Fixed(value=0.0)
        if never and domains.get("nesterov", Fixed(value=False)) == Fixed(value=True):
            raise SpecError(f"{place}.nesterov = true needs a momentum")
