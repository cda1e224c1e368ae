"""The arguments that a script takes, by any of the usual libraries."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lrsearch.plain_data import Unchecked
from lrsearch.starter.hydra import hydra_keys
from lrsearch.starter.roles import NAMES, Role, plain
from lrsearch.starter.source import Function, Source, called, constant, keyword, texts

_FLAGS = ("store_true", "store_false", "store_const", "count", "help", "version")
#: Those of transformers' TrainingArguments that matter here, with their defaults.
_TRAINING_ARGUMENTS: Mapping[str, Unchecked] = {
    "learning_rate": 5e-5,
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "seed": 42,
    "per_device_train_batch_size": 8,
    "output_dir": None,
}


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One argument of a script."""

    name: str
    #: Its words, with `{}` where the value stands: `--lr`, `{}`, or `--lr={}`, or `optim.lr={}`.
    words: tuple[str, ...]
    default: Unchecked = None
    choices: tuple[str, ...] = ()
    required: bool = False
    #: The subcommand that it belongs to; empty for none.
    subcommand: str = ""

    def filled(self, value: str) -> list[str]:
        return [word.replace("{}", value) for word in self.words]


def arguments(source: Source) -> list[Argument]:
    """Every argument that takes a value, in the order of the lines."""
    found = [
        *_parsers(source),
        *_functions(source),
        *_absl(source),
        *_configurator(source),
        *_training_arguments(source),
        *(Argument(name=k, words=(f"{k}={{}}",), default=v) for k, v in hydra_keys(source)),
    ]
    return list({argument.words: argument for argument in found}.values())


def by_role(found: list[Argument]) -> dict[Role, Argument]:
    """The likeliest argument for each role that one has."""
    roles: dict[Role, Argument] = {}
    for role, names in NAMES.items():
        ranked = [
            (names.index(name), place)
            for place, argument in enumerate(found)
            if (name := plain(argument.name.rpartition(".")[2])) in names
        ]
        if ranked:
            roles[role] = found[min(ranked)[1]]
    return roles


def _parsers(source: Source) -> Iterator[Argument]:
    """`parser.add_argument(...)` of argparse, `@click.option(...)`."""
    subcommands = _subcommands(source)
    for call in source.calls():
        of_argparse = called(call) == "add_argument"
        if not of_argparse and called(call) != "option":
            continue
        flags = texts(list(call.args))
        if not flags or constant(keyword(call, "is_flag")) is True:
            continue
        if constant(keyword(call, "action")) in _FLAGS or any("/" in flag for flag in flags):
            continue
        action = keyword(call, "action")
        if action is not None and "BooleanOptionalAction" in ast.unparse(action):
            continue
        receiver = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        yield from _parsed(call, flags, subcommands.get(receiver, ""))


def _parsed(call: ast.Call, flags: list[str], subcommand: str) -> Iterator[Argument]:
    options = [flag for flag in flags if flag.startswith("-")]
    optional = constant(keyword(call, "nargs")) in ("?", "*")
    default = constant(keyword(call, "default"))
    choices = constant(keyword(call, "choices"))
    if not options:
        if not optional and called(call) == "add_argument":
            yield Argument(name=flags[0], words=("{}",), required=True, subcommand=subcommand)
        return
    flag = next((option for option in options if option.startswith("--")), options[0])
    name = constant(keyword(call, "dest"))
    known = {name for names in NAMES.values() for name in names}
    # Of `-lr, --initial-lr-of-the-run` the one that we know.
    name = name or next((option for option in options if plain(option) in known), flag)
    yield Argument(
        name=str(name).lstrip("-"),
        words=(flag, "{}"),
        default=default,
        choices=tuple(map(str, choices)) if isinstance(choices, list | tuple | set) else (),
        required=constant(keyword(call, "required")) is True,
        subcommand=subcommand,
    )


def _subcommands(source: Source) -> dict[str, str]:
    """Variable of a parser to the subcommand that it reads: `sub.add_parser("train")`."""
    found: dict[str, str] = {}
    for node in source.nodes:
        match node:
            case ast.Assign(targets=targets, value=ast.Call() as call) if called(
                call
            ) == "add_parser" and (names := texts(list(call.args))):
                found |= {ast.unparse(target): names[0] for target in targets}
    return found


def _functions(source: Source) -> Iterator[Argument]:
    """Parameters of a function that typer or fire makes into a command."""
    names = {
        ast.unparse(call.args[0]): called(call)
        for call in source.calls()
        if call.args and ast.unparse(call.func) in ("typer.run", "fire.Fire", "Fire")
    }
    for node in source.nodes:
        if not isinstance(node, Function):
            continue
        decorators = [ast.unparse(part) for part in node.decorator_list]
        with_typer = names.get(node.name) == "run" or (
            "typer" in source.text and any(".command(" in text for text in decorators)
        )
        if with_typer or names.get(node.name) == "Fire":
            yield from _parameters(node, with_typer=with_typer)


def _parameters(function: Function, *, with_typer: bool) -> Iterator[Argument]:
    spec = function.args
    parameters = [*spec.posonlyargs, *spec.args]
    missing: list[ast.expr | None] = [None] * (len(parameters) - len(spec.defaults))
    pairs = [*zip(parameters, [*missing, *spec.defaults], strict=True)]
    for parameter, value in [*pairs, *zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]:
        kind = "" if parameter.annotation is None else ast.unparse(parameter.annotation)
        if kind == "bool" or value is None or parameter.arg in ("self", "ctx"):
            continue
        option = value if isinstance(value, ast.Call) and called(value) == "Option" else None
        flags = (
            [flag for flag in texts(list(option.args)) if flag.startswith("--")] if option else []
        )
        default = constant(option.args[0] if option and option.args else value)
        flag = flags[0] if flags else f"--{parameter.arg.replace('_', '-')}"
        words = (flag, "{}") if with_typer else (f"--{parameter.arg}={{}}",)
        yield Argument(name=parameter.arg, words=words, default=default)


def _absl(source: Source) -> Iterator[Argument]:
    """`flags.DEFINE_float("lr", 0.1, ...)`."""
    for call in source.calls():
        if called(call).startswith("DEFINE_") and called(call) != "DEFINE_boolean" and call.args:
            name = constant(call.args[0])
            default = constant(call.args[1]) if len(call.args) > 1 else None
            if isinstance(name, str):
                yield Argument(name=name, words=(f"--{name}={{}}",), default=default)


def _configurator(source: Source) -> Iterator[Argument]:
    """Variables at the top of a script that `exec(open('configurator.py').read())` overrides."""
    execs = [call for call in source.calls() if called(call) == "exec"]
    if not any("configurator" in ast.unparse(call) for call in execs):
        return
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, constant(node.value)
            if isinstance(value, int | float | str) and not isinstance(value, bool):
                yield Argument(name=name, words=(f"--{name}={{}}",), default=value)


def _training_arguments(source: Source) -> Iterator[Argument]:
    if any(called(call) == "HfArgumentParser" for call in source.calls()):
        for name, default in _TRAINING_ARGUMENTS.items():
            required = name == "output_dir"
            yield Argument(name=name, words=(f"--{name}", "{}"), default=default, required=required)
