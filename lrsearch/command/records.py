"""Metrics from a file of records that grows: JSON lines, or a CSV with a header."""

import ast
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lrsearch.command.lines import Lines
from lrsearch.command.reading import Delivered, Reader, Reading, Record, as_number
from lrsearch.plain_data import Unchecked

#: What stands between the cells of a CSV.
_DELIMITERS = ",;\t"


class RecordReader:
    """Reports from records, one for each record that has the metric.

    A file that is written anew with the same records in it, as Lightning's CSVLogger does when a
    column comes, gives only those that follow.
    """

    def __init__(self, path: Path, metric: str, words: Mapping[str, str]) -> None:
        #: `words` has the file's names for metrics, by ours.
        self._lines = Lines(path)
        self._metric, self._words = metric, words
        self._delivered = Delivered()
        self._restarts = 0
        #: Names of numbers that were seen, for `explain`.
        self._seen: dict[str, None] = {}

    def poll(self, *, ended: bool = False) -> list[Reading]:
        lines = self._lines.poll(ended=ended)
        if self._lines.restarts != self._restarts:
            self._restarts = self._lines.restarts
            self._delivered.begin_again()
            self._begin_again()
        new = []
        for fields in self._records(lines):
            numbers = (name for name, value in fields.items() if as_number(value) is not None)
            self._seen.update(dict.fromkeys(numbers))
            record = Record(fields=fields, where=str(self._lines.path))
            reading = record.reading(self._metric, self._words)
            if reading is not None and self._delivered.is_new(reading):
                new.append(reading)
        return new

    def skip(self) -> None:
        self.poll()

    def explain(self) -> str:
        key = self._words.get(self._metric, self._metric)
        path = self._lines.path
        if not path.exists():
            return f"{path} does not exist, so {key!r} was not found"
        return f"{path} has no {key!r}; its numbers: {', '.join(self._seen) or 'none'}"

    def _begin_again(self) -> None:
        """The next line is the first of the file."""

    def _records(self, lines: list[str]) -> Iterator[Mapping[str, Unchecked]]:
        raise NotImplementedError


class EachFile:
    """Reports from each file in a folder that fits a pattern, such as `version_*/metrics.csv`."""

    def __init__(self, folder: Path, pattern: str, make: Callable[[Path], Reader]) -> None:
        self._folder, self._pattern, self._make = folder, pattern, make
        self._readers: dict[Path, Reader] = {}

    def poll(self, *, ended: bool = False) -> list[Reading]:
        for path in sorted(self._folder.glob(self._pattern)):
            if path not in self._readers:
                self._readers[path] = self._make(path)
        found = (reader.poll(ended=ended) for reader in self._readers.values())
        return [reading for readings in found for reading in readings]

    def skip(self) -> None:
        self.poll()

    def explain(self) -> str:
        if not self._readers:
            return f"no file fits {self._folder / self._pattern}"
        return "; ".join(reader.explain() for reader in self._readers.values())


class JsonLinesReader(RecordReader):
    """Lines that are JSON objects, or Python's dicts as Hugging Face's Trainer prints them.

    Other lines are passed over. A number within an object within one has both names: `eval.loss`.
    """

    def _records(self, lines: list[str]) -> Iterator[Mapping[str, Unchecked]]:
        for line in lines:
            if line.lstrip().startswith("{") and (fields := _object(line.strip())):
                yield dict(_flat(fields, ""))


class CsvReader(RecordReader):
    """A table whose first line is its header. Blank cells, and rows without the metric, are none.

    Cells stand apart by commas, semicolons or tabs.
    """

    def __init__(self, path: Path, metric: str, words: Mapping[str, str]) -> None:
        super().__init__(path, metric, words)
        self._begin_again()

    def _begin_again(self) -> None:
        self._header: list[str] = []
        self._delimiter = ","
        self._partial = ""

    def _records(self, lines: list[str]) -> Iterator[Mapping[str, Unchecked]]:
        for line in lines:
            row = self._partial + line
            if row.count('"') % 2:  # a line break within quotes
                self._partial = f"{row}\n"
                continue
            self._partial = ""
            if not self._header:
                row = row.removeprefix("\ufeff")
                self._delimiter = max(_DELIMITERS, key=row.count)
            cells = next(csv.reader([row], delimiter=self._delimiter, strict=False))
            if not self._header:
                self._header = [cell.strip() for cell in cells]
            else:
                yield dict(zip(self._header, cells, strict=False))


def _object(line: str) -> Mapping[str, Unchecked] | None:
    try:
        content = json.loads(line)
    except ValueError:
        try:
            content = ast.literal_eval(line)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return content if isinstance(content, dict) else None


def _flat(fields: Mapping[str, Unchecked], owner: str) -> Iterator[tuple[str, Unchecked]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{owner}{name}.")
        else:
            yield f"{owner}{name}", value
