"""What a study file gives as a command: a list of arguments, and the script's words for ours."""

import re
import shlex
from collections.abc import Mapping

from lrsearch.command.template import Names, long_form, placeholders, value_text
from lrsearch.errors import SpecError
from lrsearch.plain_data import Unchecked
from lrsearch.user_input import is_number

#: What a shell would read as more than a word.
_SHELL = re.compile(r"[|><;&$*`'\"\\\n?()#~]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def arguments_of(
    content: Unchecked, where: str = "command", *, program: bool = True
) -> tuple[str, ...]:
    """The arguments of a command, each a text. Raises SpecError.

    `content` is a list; a line of plain words, such as `python train.py --lr {lr}`, is split. The
    first one is a program unless `program` is false.
    """
    if isinstance(content, str):
        content = _split(content, where)
    if not isinstance(content, list | tuple):
        such_as = '[python, train.py, --lr, "{lr}"]' if program else "[--data, my-data]"
        raise SpecError(f"{where} = {content!r}, but a list of arguments is needed: {such_as}")
    argv = tuple(_argument(item, f"{where}[{place}]") for place, item in enumerate(content))
    if program and (not argv or not argv[0]):
        raise SpecError(f"{where} names no program; write [python, train.py, ...]")
    if program and _ASSIGNMENT.match(argv[0]):
        listed = flow_list(["env", *argv])
        raise SpecError(f"{where} begins with {argv[0]!r}, which is no program; write {listed}")
    placeholders(argv, where=where)
    return argv


def names_of(content: Unchecked, where: str = "names") -> Names:
    """The script's words: `{optimizer.name: {adamw: AdamW}}`. Raises SpecError."""
    if not isinstance(content, Mapping):
        raise SpecError(f"{where} = {content!r}, but a mapping is needed: {_EXAMPLE}")
    return {
        long_form(field): _words(words, f"{where}.{field}")
        for field, words in ((str(key), value) for key, value in content.items())
    }


_EXAMPLE = "{optimizer.name: {adamw: AdamW}}"


def _words(content: Unchecked, where: str) -> Mapping[str, str]:
    if not isinstance(content, Mapping):
        raise SpecError(f"{where} = {content!r}, but {{our word: the script's word}} is needed")
    for ours, theirs in content.items():
        if isinstance(theirs, list | tuple | Mapping):
            raise SpecError(f"{where}.{ours} = {theirs!r}, but one word is needed")
    # YAML reads the words true, 32 and null as values of their own.
    return {value_text(ours): _script_word(theirs) for ours, theirs in content.items()}


def _script_word(word: Unchecked) -> str:
    return "" if word is None else value_text(word)


def flow_list(argv: list[str]) -> str:
    """The arguments as a list of YAML."""
    return f"[{', '.join(map(_quoted, argv))}]"


def _quoted(argument: str) -> str:
    plain = re.fullmatch(r"[A-Za-z./_-][\w./=-]*", argument)
    if plain and argument.lower() not in ("true", "false", "yes", "no", "on", "off", "null"):
        return argument
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _split(line: str, where: str) -> list[str]:
    shell = _SHELL.search(line)
    if shell is None:
        return line.split()
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    if shell[0] in "'\"\\":
        hint = f"write it as a list: {flow_list(words)}"
    else:
        program = flow_list(["sh", "train.sh", *dict.fromkeys(re.findall(r"\{[\w.]+\}", line))])
        hint = f"no shell reads it; put the line into a script and write {program}"
    raise SpecError(f"{where} holds {shell[0]!r}; {hint}")


def _argument(item: Unchecked, where: str) -> str:
    if isinstance(item, Mapping):
        text = flow_list([f"{{{key}}}" for key in item])[1:-1]
        raise SpecError(f"{where} is a mapping; YAML needs quotes around a placeholder: {text}")
    if isinstance(item, bool) or item is None:
        raise SpecError(f"{where} is {value_text(item)} to YAML; put the argument in quotes")
    if isinstance(item, str):
        if "\0" in item:
            raise SpecError(f"{where} = {item!r} holds a NUL character")
        return item
    if is_number(item):
        return value_text(item)
    raise SpecError(f"{where} = {item!r}, but a text or a number is needed")
