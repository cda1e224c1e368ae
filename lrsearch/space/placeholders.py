"""The space of a command: its placeholders say which fields reach the script, and so are searched.

What no placeholder names is the script's own. Of a preset's ranges, those with a placeholder are
searched; what a study file writes itself must have one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lrsearch.catalog.domains import Domain, Fixed, Range
from lrsearch.catalog.lookup import optimizer_info, schedule_info
from lrsearch.catalog.script import SCRIPT
from lrsearch.command.template import OF_RUN, written
from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.space.check import check_space
from lrsearch.space.parse import unchecked_space
from lrsearch.space.search_space import SearchSpace

#: The placeholder of a file with the whole recipe: every field reaches the script by it.
WHOLE = "recipe"
_HALVES = ("beta1", "beta2")
_NAMES = ("optimizer.name", "schedule.name")
_NONE = Fixed(value=0.0)


@dataclass(frozen=True, kw_only=True)
class _Command:
    """What a command is told."""

    #: Long names of its placeholders: `optimizer.lr`, `schedule.gamma`, `warmup`, `params.width`.
    names: Collection[str]
    #: Those of them that have a word for "this recipe has none".
    may_lack: Collection[str]

    def tells(self, field: str) -> bool:
        """Whether the script learns the field's value."""
        halves = [f"optimizer.{half}" for half in _HALVES]
        if WHOLE in self.names or field in self.names:
            return True
        if field == "optimizer.betas":
            return set(halves) <= set(self.names)
        return field in halves and "optimizer.betas" in self.names

    def of(self, owner: str) -> list[str]:
        """Names of the owner's fields that have placeholders."""
        long = f"{owner}."
        return [name.removeprefix(long) for name in self.names if name.startswith(long)]


def space_from_placeholders(
    names: Sequence[str],
    content: Unchecked,
    where: str = "space",
    *,
    may_lack: Collection[str] = (),
) -> SearchSpace:
    """The space of a command with placeholders of these long names (`optimizer.lr`).

    `content` is what the study file says of the space; None: the learning rate of the script's own
    optimizer. `may_lack` are the placeholders that have a word for a recipe without the field.
    Raises SpecError where a field has no placeholder, and a placeholder no value.
    """
    command = _Command(names=tuple(names), may_lack=tuple(may_lack))
    filled = _with_defaults(content, command, where)
    space = unchecked_space(filled, where)
    if space.groups is not None:
        raise SpecError(f"{where}.groups: the script groups its parameters; leave it out")
    optimizers = {
        name: _of_optimizer(name, domains, _written(filled, "optimizers", name), command)
        for name, domains in space.optimizers.items()
    }
    schedules = {
        name: _told(domains, _written(filled, "schedules", name), command, "schedule")
        for name, domains in space.schedules.items()
    }
    space = replace(space, optimizers=optimizers, schedules=schedules)
    for reason in _untold(space, command, where):
        raise SpecError(reason)
    for reason in _without_value(space, command, where):
        raise SpecError(reason)
    check_space(space.optimizers, space.schedules, space.warm_up, where)
    return space


def _with_defaults(content: Unchecked, command: _Command, where: str) -> Fields:
    """What the file says, and `script` for what neither it nor a preset of its choice names."""
    if isinstance(content, str):
        content = {"preset": content}
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise SpecError(f"{where} = {content!r}, but a preset's name or a mapping is accepted")
    if "preset" not in content:
        content = {"optimizers": SCRIPT, "schedules": SCRIPT, **content}
    if not {"warmup", "warmup_steps"} & {*command.names, *content}:
        content = {"warmup": 0.0, **content}
    return content


def _written(content: Fields, kind: str, name: str) -> Collection[str]:
    """The fields that the file itself writes for an optimizer or a schedule."""
    owners = content.get(kind)
    fields = owners.get(name) if isinstance(owners, Mapping) else None
    return fields.keys() if isinstance(fields, Mapping) else ()


def _told(
    domains: Mapping[str, Domain], written: Collection[str], command: _Command, owner: str
) -> dict[str, Domain]:
    """The domains that the file writes or that have a placeholder."""
    return {
        key: domain
        for key, domain in domains.items()
        if key in written or command.tells(f"{owner}.{key}")
    }


def _of_optimizer(
    name: str, domains: Mapping[str, Domain], written: Collection[str], command: _Command
) -> dict[str, Domain]:
    lr = domains["lr"]
    kept = {"lr": lr, **_told(domains, written, command, "optimizer")}
    if isinstance(lr, Range) and lr.unit == "momentum_equivalent" and "momentum" not in kept:
        # The script's momentum is not known, and most have 0.9, where this is lr itself.
        kept["lr"] = replace(lr, unit="plain", in_unit=False)
    return kept


def _untold(space: SearchSpace, command: _Command, where: str) -> Iterator[str]:
    """Why values would be sampled that never reach the script."""
    if not command.tells("optimizer.lr"):
        yield f"the command has no placeholder of the learning rate; add {_example('optimizer.lr')}"
    for owner, kind, owners in _owners(space):
        several = len(owners) > 1 and not command.tells(f"{owner}.name")
        if several:
            yield _add(f"{where}.{kind} has {', '.join(owners)}", f"{owner}.name")
        for name, domains in owners.items():
            for key, domain in domains.items():
                if not command.tells(f"{owner}.{key}"):
                    yield _add(_set(f"{where}.{kind}.{name}.{key}", domain), f"{owner}.{key}")
    if space.warmup != _NONE and not command.tells("warmup"):
        yield _add(_set(f"{where}.warmup", space.warmup), "warmup")
    if space.warmup_steps is not None:
        yield f"{where}.warmup_steps is of task and train; a command is told a fraction, {{warmup}}"
    for key, domain in space.params.items():
        if not command.tells(f"params.{key}"):
            yield _add(_set(f"{where}.params.{key}", domain), f"params.{key}")


def _owners(space: SearchSpace) -> Iterator[tuple[str, str, Mapping[str, Mapping[str, Domain]]]]:
    yield "optimizer", "optimizers", space.optimizers
    yield "schedule", "schedules", space.schedules


def _set(place: str, domain: Domain) -> str:
    return f"{place} is {'fixed' if isinstance(domain, Fixed) else 'searched'}"


def _add(problem: str, field: str) -> str:
    return f"{problem}, but the command is not told it; add {_example(field)}, or leave it out"


def _example(field: str) -> str:
    """How the placeholder may stand in a command."""
    if field == "optimizer.betas":
        return "the placeholders {optimizer.beta1} and {optimizer.beta2}"
    plain = field.removesuffix(".name").rpartition(".")[2]
    return f'--{plain.replace("_", "-")} "{written(field)}"'


def _without_value(space: SearchSpace, command: _Command, where: str) -> Iterator[str]:
    """Why a placeholder would have nothing to stand for."""
    for owner, _, owners in _owners(space):
        for key in command.of(owner):
            if key == "name" or f"{owner}.{key}" in command.may_lack:
                continue
            for name, domains in owners.items():
                if not _gives(domains, key):
                    yield _no_value(owner, name, key, list(owners), where)
    for field in command.names:
        owner, _, key = field.partition(".")
        if owner == "params" and key not in space.params:
            yield (
                f"the placeholder {written(field)} has no values; write {where}.params: "
                f"{{{key}: [1, 2]}} with those to search"
            )
        elif owner not in ("optimizer", "schedule", "params", *OF_RUN):
            yield f"the placeholder {{{field}}} is none of a command"
    for owner, _, owners in _owners(space):
        if f"{owner}.name" in command.names and list(owners) == [SCRIPT]:
            yield (
                f"the placeholder {{{owner}}} has no values; write e.g. {where}.{owner}s: "
                f"[{'adamw, sgd' if owner == 'optimizer' else 'cosine, linear'}]"
            )


def _gives(domains: Mapping[str, Domain], key: str) -> bool:
    """Whether a recipe has the field; with one beta it has both."""
    halves = (*_HALVES, "betas")
    return key in domains or (key in halves and any(half in domains for half in halves))


def _no_value(owner: str, name: str, key: str, owners: Sequence[str], where: str) -> str:
    placeholder = f"the placeholder {written(f'{owner}.{key}')}"
    if key in _fields(owner, name):
        return (
            f"{placeholder} has no values; write the range to search, as {where}: {{{owner}s: "
            f"{{{name}: {{{key}: {{low: 1e-6, high: 1e-2, log: true}}}}}}}}"
        )
    if any(key in _fields(owner, other) for other in owners):
        return (
            f"{placeholder} has no value where the {owner} is {name}; leave one of them out, or "
            f"say what then stands there, as names: {{{owner}.{key}: {{none: 0}}}}"
        )
    hint = near_miss(key, _fields(owner, name)) if _fields(owner, name) else "; it has none"
    return f"{placeholder} is no field of {owner} {name}{hint}"


def _fields(owner: str, name: str) -> Collection[str]:
    if owner == "schedule":
        return schedule_info(name, owner).fields.keys()
    return optimizer_info(name, owner).searchable().keys() - {"fused"}


def told_recipe(
    recipe: Fields,
    space: SearchSpace,
    names: Sequence[str],
    where: str,
    *,
    may_lack: Collection[str] = (),
) -> Document:
    """A recipe of the user's own, with the optimizer and schedule of the space where it names none.

    Raises SpecError where it lacks what a placeholder stands for, and where the command is not told
    one of its fields.
    """
    command = _Command(names=tuple(names), may_lack=tuple(may_lack))
    optimizer = _part(recipe, "optimizer", list(space.optimizers))
    schedule = _part(recipe, "schedule", list(space.schedules))
    params = recipe.get("params") or {}
    given = [f"optimizer.{key}" for key in optimizer] + [f"schedule.{key}" for key in schedule]
    given += [f"params.{key}" for key in params] if isinstance(params, Mapping) else []
    given += ["warmup"] if recipe.get("warmup") else []
    if recipe.get("warmup_steps"):
        raise SpecError(f"{where}.warmup_steps is of task and train; give a command warmup instead")
    halves = {f"optimizer.{half}" for half in _HALVES}
    for field in given:
        in_part = field == "optimizer.betas" and halves & set(names)  # the other is torch's
        if field not in _NAMES and not in_part and not command.tells(field):
            raise SpecError(_add(f"{where}: {field} is set", field))
    pair = halves if "optimizer.betas" in given else ()
    for field in command.names:
        owned = field.partition(".")[0] in ("optimizer", "schedule", "params")
        if owned and field not in (*given, *pair, *command.may_lack):
            raise SpecError(f"{where} has no {field}, which {written(field)} stands for; add it")
    return {**recipe, "optimizer": optimizer, "schedule": schedule}


def _part(recipe: Fields, owner: str, names: Sequence[str]) -> Document:
    """The recipe's optimizer or schedule as a mapping with a name."""
    given = recipe.get(owner, {})
    part = given if isinstance(given, Mapping) else {"name": given}
    return {"name": names[0], **part}
