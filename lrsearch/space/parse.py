"""A space as a study file writes it: a preset's name, or optimizers, schedules, warm-up, params."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from lrsearch.catalog.domains import Domain, Fixed, Range, Value, first_value, parse
from lrsearch.catalog.fields import FieldLimit, Limit
from lrsearch.catalog.lookup import check_schedule, optimizer_info, schedule_info
from lrsearch.catalog.optimizers import OptimizerInfo
from lrsearch.catalog.schedules import ScheduleInfo
from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Unchecked
from lrsearch.space.check import check_space
from lrsearch.space.groups import parse_groups
from lrsearch.space.presets import PRESETS, Domains, Preset
from lrsearch.space.search_space import SearchSpace
from lrsearch.task.own_code import is_own

BATCH_SIZE = Limit(low=1, integer=True)
STEPS = Limit(low=0, integer=True)


def parse_space(content: Unchecked, where: str = "space") -> SearchSpace:
    """A preset's name or a mapping as in a study file. Raises SpecError naming the field.

    A mapping is an edit of its `preset`, the default one if it names none: what it leaves out is
    the preset's.
    """
    space = unchecked_space(content, where)
    check_space(space.optimizers, space.schedules, space.warm_up, where)
    return space


def unchecked_space(content: Unchecked, where: str) -> SearchSpace:
    """The same, but what goes together in it is not looked at."""
    if isinstance(content, str):
        content = {"preset": content}
    if not isinstance(content, Mapping):
        raise SpecError(f"{where} = {content!r}, but a preset's name or a mapping is accepted")
    known = ("preset", "optimizers", "schedules", "warmup", "warmup_steps", "params", "groups")
    for key in content:
        if key not in known:
            raise SpecError(f"{where}.{key} is not a field of a space{near_miss(key, known)}")
    preset = _preset(content.get("preset", "default"), where)
    optimizers = _domains(content, "optimizers", preset.optimizers, _optimizer_domains, where)
    return SearchSpace(
        optimizers=optimizers,
        schedules=_domains(content, "schedules", preset.schedules, _schedule_domains, where),
        warmup=_warmup(content, preset, f"{where}.warmup"),
        warmup_steps=_warmup_steps(content, where),
        params=_params(content.get("params"), f"{where}.params"),
        groups=parse_groups(content.get("groups"), optimizers, f"{where}.groups"),
    )


def _preset(name: Unchecked, where: str) -> Preset:
    if not isinstance(name, str) or name not in PRESETS:
        raise SpecError(f"{where} = {name!r} is not a preset{near_miss(name, PRESETS)}")
    return PRESETS[name]


def _domains(
    content: Mapping[str, Unchecked],
    kind: str,
    preset: Domains,
    read: Callable[[str, Unchecked, Domains, str], dict[str, Domain]],
    where: str,
) -> dict[str, dict[str, Domain]]:
    """The domains of each optimizer or schedule; all of the preset's where none is named."""
    if kind not in content:
        return {name: dict(domains) for name, domains in preset.items()}
    place = f"{where}.{kind}"
    return {
        name: read(name, fields, preset, f"{place}.{name}")
        for name, fields in _named(content[kind], place).items()
    }


def _warmup(content: Mapping[str, Unchecked], preset: Preset, where: str) -> Domain:
    if "warmup_steps" in content:
        return Fixed(value=0.0)
    if "warmup" not in content:
        return preset.warmup
    warmup = parse(content["warmup"], where)
    _check_domain(warmup, Limit(high=1.0), where)
    return warmup


def _warmup_steps(content: Mapping[str, Unchecked], where: str) -> Domain | None:
    if "warmup_steps" not in content:
        return None
    if "warmup" in content:
        raise SpecError(f"{where}.warmup and {where}.warmup_steps are both given; leave one out")
    steps = parse(content["warmup_steps"], f"{where}.warmup_steps")
    _check_domain(steps, STEPS, f"{where}.warmup_steps")
    return steps


def _params(content: Unchecked, where: str) -> dict[str, Domain]:
    params = content or {}
    if not isinstance(params, Mapping):
        raise SpecError(f"{where} = {params!r}, but a mapping of names to values is needed")
    domains = {key: parse(value, f"{where}.{key}") for key, value in params.items()}
    if "batch_size" in domains:
        _check_domain(domains["batch_size"], BATCH_SIZE, f"{where}.batch_size")
    return domains


def _named(content: Unchecked, where: str) -> Mapping[str, Unchecked]:
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


def _fields(content: Unchecked, where: str) -> Mapping[str, Unchecked]:
    if content is not None and not isinstance(content, Mapping):
        raise SpecError(f"{where} = {content!r}, but a mapping of fields is needed; {{}} = preset")
    return content or {}


def _optimizer_domains(
    name: str, content: Unchecked, preset: Domains, where: str
) -> dict[str, Domain]:
    info = optimizer_info(name, where)
    _check_seen(info, where)
    limits = info.searchable()
    ranges = preset.get(name, info.ranges)
    domains = dict(ranges)
    written = {**info.known.written, **_fields(content, where)}
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
        domain = parse(value, place, is_list=limits[key].listed)
        _check_domain(domain, limits[key], place)
        domains[key] = _in_unit(domain, limits[key], info.ranges.get(key))
    for key in ("lr", *sorted(info.required)):
        if key not in domains:
            raise SpecError(f"{where}.{key} is missing; {name} has no preset, so write its range")
    _check_fused(domains.get("fused"), info, where)
    return domains


def _check_fused(fused: Domain | None, info: OptimizerInfo, where: str) -> None:
    if fused is not None and fused != Fixed(value=False) and not info.fused:
        raise SpecError(f"{where}.fused = true, but torch has no fused {info.class_name}")


def _in_unit(domain: Domain, limit: FieldLimit, preset: Domain | None) -> Domain:
    """The user's range, sampled in a unit that suits the field; it stays in torch's units."""
    if not isinstance(domain, Range) or not isinstance(limit, Limit):
        return domain
    if limit.integer:
        return domain
    domain = replace(domain, integer=False)  # 0 and 1 are as good as 0.0 and 1.0 here
    if domain.step is not None:
        return domain
    if limit.decay_rate:
        return replace(domain, unit="complement", log=True)
    return replace(domain, unit=preset.unit) if isinstance(preset, Range) else domain


def _schedule_domains(
    name: str, content: Unchecked, preset: Domains, where: str
) -> dict[str, Domain]:
    info = schedule_info(name, where)
    _check_seen(info, where)
    domains = dict(preset.get(name, info.ranges))
    for key, value in {**info.written, **_fields(content, where)}.items():
        place = f"{where}.{key}"
        if key not in info.fields:
            hint = near_miss(key, info.fields) if info.fields else "; it has none"
            raise SpecError(f"{place} is not a field of {name}{hint}")
        if key in info.of_study:
            raise SpecError(f"{place} is not searched: the study's objective says it; leave it out")
        limit = info.fields[key]
        _refuse_pair(value, place, ranged=isinstance(info.ranges.get(key), Range))
        domain = parse(value, place, is_list=limit.listed)
        _check_domain(domain, limit, place)
        domains[key] = _in_unit(domain, limit, None)
    _check_ends(name, domains, where)
    return domains


def _check_ends(name: str, domains: Mapping[str, Domain], where: str) -> None:
    """Raises SpecError where a schedule of the study's own is not one at an end of a range."""
    if not is_own(name):
        return
    first = {key: first_value(domain) for key, domain in domains.items()}
    for key, domain in domains.items():
        for value in _ends(domain):
            check_schedule({"name": name, **first, key: value}, where)
    check_schedule({"name": name, **first}, where)


def _ends(domain: Domain) -> tuple[Value, ...]:
    if isinstance(domain, Range):
        low, high = domain.low, domain.high
        return (int(low), int(high)) if domain.integer else (low, high)
    return (domain.value,) if isinstance(domain, Fixed) else domain.choices


def _check_seen(info: OptimizerInfo | ScheduleInfo, where: str) -> None:
    if info.unseen:
        raise SpecError(
            f"{where}: its file is not loaded; put it beside the study file, or where task_dir of "
            f"lrsearch.search() says"
        )


def _refuse_pair(value: Unchecked, where: str, *, ranged: bool) -> None:
    """Two numbers for a field that is usually a range may be meant as one: never guess."""
    if ranged and isinstance(value, list) and len(value) == 2:
        raise SpecError(
            f"{where} = {value!r} is ambiguous: write {{low: {value[0]}, high: {value[1]}}} for a "
            f"range (log: true for a log scale) or {{choices: {value!r}}} for two choices"
        )


def _check_domain(domain: Domain, limit: FieldLimit, where: str) -> None:
    if isinstance(domain, Range):
        limit.check(domain.low, f"{where}.low")
        limit.check(domain.high, f"{where}.high")
        if isinstance(limit, Limit) and limit.integer and not domain.integer:
            raise SpecError(f"{where}.step = {domain.step!r}, but whole numbers are needed")
        return
    for value in [domain.value] if isinstance(domain, Fixed) else domain.choices:
        limit.check(value, where)
