"""The arguments of a command with placeholders, and the values of a trial in their place.

A placeholder is a name in braces: `{optimizer.lr}`, `--lr={lr}`, `optim.lr={optimizer.lr}`. `{{`
and `}}` stand for the braces themselves.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Fields, Unchecked

#: Short forms, and the fields that they stand for.
SHORT: Mapping[str, str] = {
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "momentum": "optimizer.momentum",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
}
#: What each trial has beside its optimizer, schedule and params.
OF_RUN = ("warmup", "seed", "epochs", "steps", "dir", "recipe")
#: What scripts call these, where a placeholder was meant.
_OTHER_WORDS: Mapping[str, str] = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "opt": "optimizer",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "max_steps": "steps",
    "out_dir": "dir",
    "output_dir": "dir",
}
#: Under this word `names` says what stands for a field that a recipe does not have.
ABSENT = "none"
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")

#: Field in its long form: our word for a value, and the script's.
Names = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class TemplateValues:
    """What a trial puts in the place of placeholders."""

    #: In torch's names, with `name`; `betas` are two numbers.
    optimizer: Fields
    #: With `name`.
    schedule: Fields
    #: Fraction of all steps.
    warmup: float
    params: Fields
    seed: int
    #: None where the study does not say it.
    epochs: float | None
    steps: int | None
    #: The trial's own folder.
    dir: str
    #: A JSON file with the whole recipe.
    recipe: str


@dataclass(frozen=True)
class _Placeholder:
    field: str


def long_form(name: str) -> str:
    """The field that a placeholder names: `optimizer.lr` for `lr`, `params.width` for `width`."""
    if name in SHORT:
        return SHORT[name]
    if name in OF_RUN or name.partition(".")[0] in ("optimizer", "schedule", "params"):
        return name
    return f"params.{name}"


def written(field: str) -> str:
    """The shortest placeholder of a field: `{lr}` for `optimizer.lr`."""
    shorter = {long: short for short, long in SHORT.items()}
    plain = field.removeprefix("params.")
    return f"{{{shorter.get(field, plain if long_form(plain) == field else field)}}}"


def placeholders(argv: Sequence[str], *, where: str = "command") -> list[str]:
    """The fields that the arguments hold, in their long form, each once, in their order.

    Raises SpecError for a brace that belongs to no placeholder.
    """
    parts = [part for argument in argv for part in _parts(argument, where)]
    return list(dict.fromkeys(part.field for part in parts if isinstance(part, _Placeholder)))


def fill(
    argv: Sequence[str], values: TemplateValues, names: Names, *, where: str = "command"
) -> list[str]:
    """The arguments with the values of a trial.

    A number is its shortest text that reads back as the same number, a boolean `true` or `false`,
    numbers of a list stand apart by commas; `names` has the words that the script takes instead. An
    argument with a value whose word is empty is left out. Raises SpecError for a brace that belongs
    to no placeholder, and for a placeholder without a value.
    """
    filled = []
    for argument in argv:
        words = [
            part if isinstance(part, str) else _word(part.field, values, names, where)
            for part in _parts(argument, where)
        ]
        if None not in words:
            filled.append("".join(word for word in words if word is not None))
    return filled


def placeholders_without_value(known: Iterable[str], argv: Sequence[str]) -> list[str]:
    """The placeholders, in their long form, that are neither of `known` nor of every trial."""
    fields = {*known, *OF_RUN}
    if {"optimizer.beta1", "optimizer.beta2"} <= fields:
        fields.add("optimizer.betas")
    if "optimizer.betas" in fields:
        fields |= {"optimizer.beta1", "optimizer.beta2"}
    return [field for field in placeholders(argv) if field not in fields]


def no_value(field: str, known: Iterable[str], where: str = "command") -> str:
    """The line that says so of a placeholder."""
    plain = field.rpartition(".")[2]
    if meant := _OTHER_WORDS.get(plain):
        hint = f"; did you mean {{{meant}}}?"
    else:
        offered = [*(written(name)[1:-1] for name in known), *OF_RUN]
        hint = near_miss(written(field)[1:-1], offered)
    return f"{where}: {written(field)} has no value here{hint}"


def value_text(value: Unchecked) -> str:
    """A value as an argument."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):  # also NumPy's, whose own repr is none
        return float.__repr__(value)
    if isinstance(value, list | tuple):
        return ",".join(map(value_text, value))
    return ABSENT if value is None else str(value)


def _parts(argument: str, where: str) -> Iterator[str | _Placeholder]:
    end = 0
    for found in _PART.finditer(argument):
        yield argument[end : found.start()]
        end = found.end()
        yield _part(found, argument, where)
    yield argument[end:]


def _part(found: re.Match[str], argument: str, where: str) -> str | _Placeholder:
    text, name = found[0], found[1]
    if text in ("{{", "}}"):
        return text[0]
    if name is None:
        partner = "closed" if text == "{" else "opened"
        problem = f"holds a {text!r} that is never {partner}"
    elif not _NAME.fullmatch(name):
        problem = f"holds {text!r}, which is no placeholder such as {{lr}}"
    else:
        return _Placeholder(long_form(name))
    raise SpecError(f"{where}: {argument!r} {problem}; write {{{{ and }}}} for braces as they are")


def _word(field: str, values: TemplateValues, names: Names, where: str) -> str | None:
    """The text of a field; None where its word is empty."""
    value = _value(field, values)
    text = value_text(value)
    words = names.get(field, {})
    if value is None and ABSENT not in words:
        raise SpecError(no_value(field, _fields(values), where))
    word = words.get(text, text)
    return None if text in words and not word else word


def _value(field: str, values: TemplateValues) -> Unchecked:
    owner, _, name = field.partition(".")
    match owner:
        case "optimizer":
            return _of_optimizer(values.optimizer, name)
        case "schedule":
            return _of(values.schedule, name)
        case "params":
            return _of(values.params, name)
        case "epochs":
            epochs = values.epochs
            return epochs if epochs is None or epochs != int(epochs) else int(epochs)
        case _:
            found: Unchecked = getattr(values, owner)
            return found


def _of(fields: Fields, name: str) -> Unchecked:
    value: Unchecked = fields.get(name)
    return value


def _of_optimizer(optimizer: Fields, name: str) -> Unchecked:
    betas = _of(optimizer, "betas")
    if name in ("beta1", "beta2") and isinstance(betas, list | tuple):
        half: Unchecked = betas[name == "beta2"]
        return half
    if name == "betas" and betas is None and {"beta1", "beta2"} <= optimizer.keys():
        return [_of(optimizer, "beta1"), _of(optimizer, "beta2")]
    return _of(optimizer, name)


def _fields(values: TemplateValues) -> list[str]:
    owners = {
        "optimizer": values.optimizer,
        "schedule": values.schedule,
        "params": values.params,
    }
    return [f"{owner}.{name}" for owner, fields in owners.items() for name in fields]
