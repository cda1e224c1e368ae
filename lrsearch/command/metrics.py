"""The field `report` of a study file: where a command's metrics are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from lrsearch.command.patterns import COUNTS, Pattern, PatternReader
from lrsearch.command.reading import Reader
from lrsearch.command.records import CsvReader, EachFile, JsonLinesReader
from lrsearch.command.template import placeholders
from lrsearch.command.tensorboard import TensorboardReader
from lrsearch.errors import SpecError
from lrsearch.plain_data import Unchecked

#: In the place of a file: what the command prints.
STDOUT = "stdout"
#: Each with what it names.
_SOURCES: Mapping[str, str] = {
    "json_lines": "stdout or a file",
    "csv": "a file",
    "tensorboard": "a folder",
}
_EXAMPLE = r"{val_loss: 'valid loss +(\S+)'}"


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """Regular expressions over what is printed, by their metrics, `epoch` and `step`."""

    by_metric: Mapping[str, Pattern]


@dataclass(frozen=True, kw_only=True)
class Records:
    """A file or a folder with metrics under names of their own."""

    #: `json_lines`, `csv` or `tensorboard`.
    kind: str
    #: May hold `{dir}`, the folder of the trial; `*` in a file's stands for any text.
    place: str
    #: Our name of a metric: the file's.
    words: Mapping[str, str]


Report = Patterns | Records


def read_report(content: Unchecked, metric: str, where: str = "report") -> Report:
    """What a study file says of `metric`, its objective. Raises SpecError."""
    kinds = "json_lines, csv or tensorboard"
    if not isinstance(content, Mapping) or not content:
        raise SpecError(
            f"{where} = {content!r}, but a mapping is needed: {_EXAMPLE}, or {kinds} with its place"
        )
    sources = [kind for kind in _SOURCES if kind in content]
    if len(sources) > 1:
        raise SpecError(f"{where} names {' and '.join(sources)}; one of them is accepted")
    if sources:
        return _records(content, sources[0], where)
    patterns = {
        name: Pattern.parse(name, text, f"{where}.{name}") for name, text in content.items()
    }
    if metric not in patterns:
        others = [name for name in patterns if name not in COUNTS]
        hint = f"; or write objective: {others[0]}" if others else ""
        raise SpecError(
            f"{where} has no pattern for the objective {metric!r}; "
            f"add {metric}: 'TEXT +(\\S+)'{hint}"
        )
    return Patterns(by_metric=patterns)


def _records(content: Mapping[str, Unchecked], kind: str, where: str) -> Records:
    for name, value in content.items():
        if not isinstance(value, str) or not value:
            what = _SOURCES.get(name, "the name of a metric there")
            raise SpecError(f"{where}.{name} = {value!r}, but {what} is needed")
    place = str(content[kind])
    if re.search(r"[{}]", place.replace("{dir}", "")):
        raise SpecError(f"{where}.{kind} = {place!r}, but {{dir}} is its only placeholder")
    if place == STDOUT and kind != "json_lines":
        raise SpecError(f"{where}.{kind} = {place!r}, but {_SOURCES[kind]} is needed")
    if place != STDOUT and "{dir}" not in place:
        raise SpecError(
            f"{where}.{kind} = {place!r}, but each trial needs its own; write {{dir}}/{place}, and "
            f"let the command write there"
        )
    words = {name: str(word) for name, word in content.items() if name != kind}
    return Records(kind=kind, place=place, words=words)


def check_told(report: Report, argv: Sequence[str], where: str = "report") -> None:
    """Raises SpecError where the metrics lie in a folder that the command is never told."""
    if not isinstance(report, Records) or "{dir}" not in report.place:
        return
    if "dir" not in placeholders(argv):
        raise SpecError(
            f"{where}.{report.kind} = {report.place!r}, but the command has no {{dir}}; add the "
            "argument that says where it writes"
        )


def reader_for(report: Report, output: Path, folder: Path, *, metric: str) -> Reader:
    """What reads the reports of a trial.

    `output` is where its stdout goes, `folder` its `{dir}`, `metric` the objective. Raises
    TaskError where the package that reads it is not installed.
    """
    if isinstance(report, Patterns):
        return PatternReader(output, report.by_metric)
    place = report.place.replace("{dir}", str(folder))
    if report.kind == "tensorboard":
        return TensorboardReader(Path(place), metric, report.words)
    kind = CsvReader if report.kind == "csv" else JsonLinesReader
    if "*" in report.place:
        fixed = list(takewhile(lambda part: "*" not in part, Path(place).parts))
        pattern = Path(*Path(place).parts[len(fixed) :])
        return EachFile(Path(*fixed), str(pattern), lambda path: kind(path, metric, report.words))
    return kind(output if report.place == STDOUT else Path(place), metric, report.words)
