"""The study that the options of `lrsearch tune` describe, as a study file has it."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

from lrsearch.command.arguments import arguments_of
from lrsearch.command.metrics import check_told, read_report
from lrsearch.command.template import OF_RUN, long_form, no_value, placeholders, written
from lrsearch.command.tune_lines import Decided, lines_of
from lrsearch.command.tune_options import DEFAULT_LR, DEFAULT_RUNS, OPTIONS, SCRIPT, TuneOptions
from lrsearch.command.tune_values import Values, values_of, words_of
from lrsearch.errors import SpecError
from lrsearch.plain_data import Document

_EXAMPLES: Mapping[str, str] = {
    "optimizer.name": "sgd,adamw",
    "schedule.name": "constant,cosine",
    "optimizer.lr": "1e-4..1e-1",
    "optimizer.weight_decay": "1e-6..1e-2",
    "optimizer.momentum": "0.8..0.99",
    "warmup": "0,0.05",
}
#: A metric whose name holds one of these is better the lower, or the higher.
_LOWER = ("loss", "err", "ppl", "perplexity", "mse", "mae", "rmse", "nll", "bpc", "wer", "cer")
_HIGHER = (
    "acc",
    "auc",
    "f1",
    "bleu",
    "score",
    "precision",
    "recall",
    "dice",
    "iou",
    "top1",
    "top5",
)

Takes = Callable[[str, str], bool]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A study, and what to tell of it before it begins."""

    name: str
    #: As a study file has it.
    document: Document
    #: What was decided, and which of it by default, a line each.
    lines: tuple[str, ...]


def tuned(options: TuneOptions, takes: Takes = lambda optimizer, field: True) -> Tuned:
    """The study that the options describe.

    `takes` tells whether an optimizer has a field. Raises SpecError, in one line that names the
    option, for a value that is none, a searched field without a placeholder, and the opposite.
    """
    argv = arguments_of(list(options.command), "the command after --")
    told = placeholders(argv)
    metric, report = _report(options)
    direction = options.direction or _direction(metric)
    fields = _fields(options, told)
    _check_placeholders(options, fields, told)
    space = _space(options, fields, takes)
    seeded = bool({"seed", "recipe"} & set(told))
    if options.confirm == "auto" and not seeded:
        raise SpecError("--confirm auto: the command has no {seed}; add its argument for the seed")
    made: Document = {
        "command": list(argv),
        "report": report,
        "objective": {"metric": metric, "direction": direction},
        **_horizon(options, told),
        "seed": options.seed or 0,
        "space": space,
    }
    name = options.name or _name(argv, made)
    document = {
        "name": name,
        **made,
        "budget": {"runs": DEFAULT_RUNS if options.runs is None else options.runs},
        "confirm": options.confirm or ("auto" if seeded else "none"),
    }
    decided = Decided(
        metric=metric, direction=direction, report=report, fields=fields, told=told, seeded=seeded
    )
    return Tuned(name=name, document=document, lines=lines_of(options, decided))


def _horizon(options: TuneOptions, told: list[str]) -> Document:
    """The length of a full training, by its unit; empty where it is not said."""
    lengths = {"epochs": options.epochs, "steps": options.steps}
    for option, value in {**lengths, "runs": options.runs}.items():
        if value is not None and value < 1:
            raise SpecError(f"--{option} {value}: at least 1 is needed")
    if options.seed is not None and options.seed < 0:
        raise SpecError(f"--seed {options.seed}: 0 or more is needed")
    if None not in lengths.values():
        raise SpecError(
            f"--epochs {options.epochs} --steps {options.steps}: the length is given twice; leave "
            "one out"
        )
    for unit, value in lengths.items():
        if unit in told and value is None:
            raise SpecError(f"the command has {{{unit}}}; add --{unit} N, which it stands for")
    return {unit: value for unit, value in lengths.items() if value is not None}


def _report(options: TuneOptions) -> tuple[str, Document]:
    """The objective, and the field `report`."""
    sources = {kind: place for kind, place in (options.sources or {}).items() if place is not None}
    if not options.metrics:
        raise SpecError(r"--metric is missing; write --metric val_loss='valid loss +(\S+)'")
    named = dict.fromkeys(text.partition("=")[0].strip() for text in options.metrics)
    if "" in named or len(named) < len(options.metrics):
        raise SpecError(
            f"--metric {' --metric '.join(options.metrics)}: names that differ are needed"
        )
    words: Document = {}
    for text in options.metrics:
        name, sign, word = text.partition("=")
        if sign and word:
            words[name.strip()] = word
        elif not sources:
            raise SpecError(
                f"--metric {text}: a pattern is needed, such as --metric {name or 'val_loss'}="
                r"'valid loss +(\S+)'; or name where it is: --json-lines stdout, --csv FILE, "
                "--tensorboard DIR"
            )
    metric = next(iter(named))
    report: Document = {**sources, **words}
    check_told(read_report(report, metric, "--metric"), options.command, "--metric")
    return metric, report


def _direction(metric: str) -> str:
    lower = any(word in metric.lower() for word in _LOWER)
    higher = any(word in metric.lower() for word in _HIGHER)
    if lower == higher:
        raise SpecError(
            f"--metric {metric}: its name does not tell what is better; "
            "add --direction minimize or --direction maximize"
        )
    return "minimize" if lower else "maximize"


def _fields(options: TuneOptions, told: list[str]) -> dict[str, Values]:
    """The values of each field but the names of optimizers and schedules."""
    fields = {}
    of_options = {
        "optimizer.lr": options.lr,
        "optimizer.weight_decay": options.weight_decay,
        "optimizer.momentum": options.momentum,
        "warmup": options.warmup,
    }
    for field, text in of_options.items():
        if text is not None:
            log = field in ("optimizer.lr", "optimizer.weight_decay")
            fields[field] = values_of(text, OPTIONS[field], log=log)
    if "optimizer.lr" in told and "optimizer.lr" not in fields:
        if options.optimizer is not None:
            raise SpecError("--optimizer needs --lr too, such as --lr 1e-4..1e-1")
        fields["optimizer.lr"] = values_of(DEFAULT_LR, "--lr", log=True)
    for text in options.params:
        name, _, values = text.partition("=")
        if not name or not values:
            raise SpecError(f"--param {text}: write NAME=LOW..HIGH, or NAME=a,b,c")
        field = long_form(name)
        if field in OPTIONS:
            raise SpecError(f"--param {text}: write {OPTIONS[field]} {values}")
        if "." not in field:
            raise SpecError(f"--param {text}: {{{name}}} is the trial's own; take another name")
        if field in fields:
            raise SpecError(f"--param {text}: {name} stands there twice")
        fields[field] = values_of(values, f"--param {name}=")
    return fields


def _check_placeholders(
    options: TuneOptions, fields: Mapping[str, Values], told: list[str]
) -> None:
    """Each field that has values is told to the command, and the command asks for no other."""
    words = {"optimizer.name": options.optimizer, "schedule.name": options.schedule}
    counts = {
        field: len(words_of(text, OPTIONS[field]))
        for field, text in words.items()
        if text is not None
    }
    names = [*counts]
    # The script may use the only optimizer or schedule without being told.
    several = [field for field, count in counts.items() if count > 1]
    if not any(values.searched for values in fields.values()) and not several:
        raise SpecError(
            "there is nothing to search; add --lr 1e-4..1e-1, and the argument for {lr} to the "
            "command"
        )
    for field in [*several, *fields]:
        if field not in told and "recipe" not in told:
            option = OPTIONS.get(field, f"--param {field.removeprefix('params.')}")
            raise SpecError(f"{option}: the command has no {written(field)}; add it there")
    given = {*names, *fields, *OF_RUN} - ({"warmup"} - fields.keys())
    for field in told:
        # A named schedule has ranges of its own.
        of_schedule = field.startswith("schedule.") and options.schedule is not None
        if field not in given and not of_schedule:
            raise SpecError(_without_values(field, [*names, *fields]))


def _without_values(field: str, given: list[str]) -> str:
    if field in OPTIONS:
        example = f"{OPTIONS[field]} {_EXAMPLES[field]}"
        return f"the command has {written(field)}; add {OPTIONS[field]}, such as {example}"
    plain = field.removeprefix("params.")
    hint = no_value(field, [*given, *OPTIONS], "the command")
    return f"{hint}; or add --param {plain}=LOW..HIGH, or --param {plain}=a,b,c"


def _space(options: TuneOptions, fields: Mapping[str, Values], takes: Takes) -> Document:
    optimizers = words_of(options.optimizer or SCRIPT, "--optimizer")
    schedules = words_of(options.schedule or SCRIPT, "--schedule")
    owned: Mapping[str, Document] = {"optimizer": {}, "schedule": {}, "params": {}}
    for field, values in fields.items():
        owner, _, name = field.partition(".")
        if name:
            owned[owner][name] = values.domain
    of_optimizer, of_schedule, params = owned.values()
    for name in of_optimizer:
        if not any(takes(optimizer, name) for optimizer in optimizers):
            listed = ", ".join(optimizers)
            raise SpecError(f"{name} is given, but none of --optimizer {listed} has it")
    warmup = {"warmup": fields["warmup"].domain} if "warmup" in fields else {}
    return {
        "optimizers": {
            optimizer: {k: v for k, v in of_optimizer.items() if takes(optimizer, k)}
            for optimizer in optimizers
        },
        "schedules": {schedule: dict(of_schedule) for schedule in schedules},
        **(warmup or {"warmup": 0.0}),
        **({"params": params} if params else {}),
    }


def _name(argv: tuple[str, ...], made: Document) -> str:
    """The script's name and a hash of what makes a trial: another search is another study."""
    scripts = [PurePath(word).stem for word in argv if word.endswith(".py")]
    modules = [after for word, after in pairwise(argv) if word == "-m"]
    script = [*scripts, *modules, PurePath(argv[0]).name][0]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", script).strip("-._") or "command"
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return f"{plain[:80]}-{digest[:6]}"
