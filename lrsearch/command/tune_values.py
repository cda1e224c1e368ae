"""What options of `lrsearch tune` search: `1e-4..1e-1`, `16,32,64`, or one value."""

import re
from dataclasses import dataclass

from lrsearch.errors import SpecError
from lrsearch.plain_data import Unchecked
from lrsearch.user_input import as_number, is_number

#: A range whose ends differ by this factor is searched on a log scale.
_LOG_FACTOR = 10
_RANGE = re.compile(r"(.*?[^.])\.\.([^.].*)")
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a field may be."""

    #: As a study file has it: a value, `{choices: [...]}` or `{low, high, log}`.
    domain: Unchecked
    #: Whether there is more than one value.
    searched: bool
    #: As it was written, with the scale of a range.
    text: str


def values_of(text: str, option: str, *, log: bool = False) -> Values:
    """The values that `option` was given; `log` asks for a log scale whatever the range.

    Raises SpecError for what is neither LOW..HIGH, nor values that stand apart by commas, nor one.
    """
    if found := _RANGE.fullmatch(text.strip()):
        return _range(found[1].strip(), found[2].strip(), f"{option} {text}", log=log)
    if ".." in text:
        raise SpecError(f"{option} {text}: write a range as LOW..HIGH, such as 1e-4..1e-1")
    values = [_scalar(part.strip()) for part in text.split(",")]
    if "" in values:
        raise SpecError(f"{option} {text!r}: a value is empty; write LOW..HIGH, or a,b,c")
    if len(set(map(repr, values))) < len(values):
        raise SpecError(f"{option} {text}: a value stands there twice")
    if log and not all(map(is_number, values)):
        raise SpecError(f"{option} {text}: numbers are needed; write LOW..HIGH, such as 1e-4..1e-1")
    if len(values) == 1:
        return Values(domain=values[0], searched=False, text=text)
    return Values(domain={"choices": values}, searched=True, text=text)


def words_of(text: str, option: str) -> list[str]:
    """The names that stand apart by commas. Raises SpecError for an empty or a repeated one."""
    words = [word.strip() for word in text.split(",")]
    if "" in words or len(set(words)) < len(words):
        raise SpecError(f"{option} {text!r}: different names, apart by commas, are needed")
    return words


def _range(low_text: str, high_text: str, where: str, *, log: bool) -> Values:
    low, high = _number(low_text, where), _number(high_text, where)
    if low > high:
        raise SpecError(f"{where}: the lower end comes first; write {high_text}..{low_text}")
    if low == high:
        raise SpecError(f"{where}: both ends are the same; write {low_text} alone for one value")
    if log and low <= 0:
        raise SpecError(
            f"{where}: a range on a log scale starts above 0; write 1e-6..{high_text}, or values "
            "such as 0,1e-4,1e-2"
        )
    is_log = low > 0 and (log or high / low >= _LOG_FACTOR)
    domain: dict[str, Unchecked] = {"low": low, "high": high}
    if is_log:
        domain = {**domain, "log": True}
    scale = "log scale" if is_log else "linear"
    return Values(domain=domain, searched=True, text=f"{low_text}..{high_text} ({scale})")


def _number(text: str, where: str) -> int | float:
    number = int(text) if _WHOLE.fullmatch(text) else as_number(text)
    if not is_number(number):
        raise SpecError(f"{where}: {text!r} is no number; write LOW..HIGH, such as 1e-4..1e-1")
    return number


def _scalar(text: str) -> Unchecked:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if _WHOLE.fullmatch(text) else as_number(text)
