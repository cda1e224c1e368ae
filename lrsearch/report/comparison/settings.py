"""In what the study files of several studies differ: space, other fields, versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.catalog.domains import Domain
from lrsearch.catalog.script import SCRIPT, in_words
from lrsearch.plain_data import Fields, Unchecked
from lrsearch.report.model import Report
from lrsearch.space.groups import SpaceGroups
from lrsearch.space.search_space import SearchSpace

#: Fields of a study file that are told in another way, or that only name the study.
TOLD = ("name", "space", "notes")

#: The fields of an optimizer or a schedule, by name.
Domains = Mapping[str, Domain]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A field of study files that is not the same in all of them."""

    #: Its place in the file: `pruning.eta`.
    field: str
    #: Of each study; None also where it has no such field.
    values: tuple[Unchecked, ...]


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A part of the space that is not the same in all studies."""

    #: `optimizer adamw`, `sgd.lr` (`lr` of a script's own optimizer), `schedule cosine`, `warmup`,
    #: `params.width`, `groups.head`.
    part: str
    #: Of each study, what it searches there; None where it has no such part.
    domains: tuple[Domain | Domains | str | None, ...]


def settings(reports: Sequence[Report]) -> tuple[Setting, ...]:
    """Fields of the study files that differ, then versions of packages; without the space."""
    files = [_without_told(report.spec.to_dict()) for report in reports]
    versions = [{f"version of {k}": v for k, v in report.versions.items()} for report in reports]
    return (*_differing(files), *_differing(versions))


def _without_told(content: Fields) -> Fields:
    return {key: value for key, value in content.items() if key not in TOLD}


def _differing(values: Sequence[Unchecked], where: str = "") -> list[Setting]:
    mappings = [value for value in values if isinstance(value, Mapping)]
    if len(mappings) < len(values):
        same = all(value == values[0] for value in values)
        return [] if same else [Setting(field=where, values=tuple(values))]
    found = []
    for key in dict.fromkeys(key for mapping in mappings for key in mapping):
        place = f"{where}.{key}" if where else str(key)
        found += _differing([mapping.get(key) for mapping in mappings], place)
    return found


def searched(reports: Sequence[Report]) -> tuple[Searched, ...]:
    """The parts in which the spaces differ, in the order of the spaces."""
    spaces = [report.spec.space for report in reports]
    found = [
        *_named("optimizer", [space.optimizers for space in spaces]),
        *_named("schedule", [space.schedules for space in spaces]),
        *_fields("", [dict([space.warm_up]) for space in spaces]),
        *_fields("params.", [space.params for space in spaces]),
        *_groups(spaces),
    ]
    return tuple(found)


def _named(kind: str, each: Sequence[Mapping[str, Domains]]) -> list[Searched]:
    """Optimizers or schedules: those that some space lacks, and fields of those that all have."""
    found = []
    for name in dict.fromkeys(name for names in each for name in names):
        mine = [names.get(name) for names in each]
        there = [fields for fields in mine if fields is not None]
        if len(there) < len(mine):
            part = in_words(name, kind) if name == SCRIPT else f"{kind} {name}"
            found.append(Searched(part=part, domains=tuple(mine)))
        else:
            found += _fields("" if name == SCRIPT else f"{name}.", there)
    return found


def _fields(prefix: str, each: Sequence[Domains]) -> list[Searched]:
    names = dict.fromkeys(name for fields in each for name in fields)
    rows = [(name, tuple(fields.get(name) for fields in each)) for name in names]
    return [
        Searched(part=f"{prefix}{name}", domains=domains)
        for name, domains in rows
        if any(domain != domains[0] for domain in domains)
    ]


def _groups(spaces: Sequence[SearchSpace]) -> list[Searched]:
    """Parameter groups, rule by rule; `of the task` where a function of the task makes them."""
    rules = [_rules(space.groups) for space in spaces]
    names = dict.fromkeys(name for mine in rules for name in mine)
    rows = [(name, tuple(mine.get(name) for mine in rules)) for name in names]
    return [
        Searched(part=f"groups.{name}" if name else "groups", domains=domains)
        for name, domains in rows
        if any(domain != domains[0] for domain in domains)
    ]


def _rules(groups: SpaceGroups) -> Mapping[str, Domains | str]:
    if groups is None:
        return {}
    if isinstance(groups, str):
        return {"": f"of the {groups}"}
    return {group.name: group.fields for group in groups}
