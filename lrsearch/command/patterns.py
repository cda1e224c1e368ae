"""Metrics from what a command prints, by regular expressions."""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lrsearch.command.lines import Lines
from lrsearch.command.reading import Reading, number_in
from lrsearch.errors import SpecError, TaskError
from lrsearch.plain_data import Unchecked

#: Groups, and patterns of their own, that say how far a run is.
COUNTS = ("epoch", "step")
#: So many lines of the output are shown where nothing matched, each cut to so many characters.
_SHOWN_LINES, _SHOWN_CHARACTERS = 3, 100


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A regular expression over a line, with one group for the metric."""

    metric: str
    text: str
    #: Number of the group that holds the metric.
    group: int

    @classmethod
    def parse(cls, metric: str, text: Unchecked, where: str) -> "Pattern":
        """Raises SpecError for what is no regular expression with one group for the metric."""
        if not isinstance(text, str):
            raise SpecError(f"{where} = {text!r}, but a regular expression is needed")
        try:
            compiled = re.compile(text)
        except re.error as error:
            raise SpecError(
                f"{where} = {text!r} is no regular expression: {error}; put a \\ before "
                "a character that stands for itself"
            ) from error
        named = dict(compiled.groupindex)
        taken = {number for name, number in named.items() if name in COUNTS and name != metric}
        others = [number for number in range(1, compiled.groups + 1) if number not in taken]
        if metric in named:
            others = [named[metric]]
        if len(others) != 1:
            raise SpecError(
                f"{where} = {text!r} has {len(others) or 'no'} groups for the metric, but one is "
                r"needed: parentheses around the number, as in 'valid loss +(\S+)'; "
                "(?:...) groups without being one"
            )
        return cls(metric=metric, text=text, group=others[0])

    def search(self, line: str) -> re.Match[str] | None:
        return re.search(self.text, line)  # `re` keeps the compiled one


class PatternReader:
    """Reports from lines of output. One is complete when each metric's pattern has matched.

    A pattern named `epoch` or `step`, like a group of this name, says how far the run is; a report
    does not wait for it.
    """

    def __init__(self, output: Path, patterns: Mapping[str, Pattern]) -> None:
        self._lines = Lines(output)
        self._patterns = patterns
        self._metrics: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self._matched = dict.fromkeys(patterns, 0)
        self._kept = [deque[str](maxlen=_SHOWN_LINES) for _ in range(3)]

    def poll(self, *, ended: bool = False) -> list[Reading]:
        found = (self._read(line) for line in self._lines.poll(ended=ended))
        return [reading for reading in found if reading is not None]

    def skip(self) -> None:
        self._lines.poll(ended=True)

    def explain(self) -> str:
        never = [pattern for name, pattern in self._patterns.items() if not self._matched[name]]
        if not never:
            return "each pattern matched, but not all of them once more"
        looked_for = ", ".join(repr(pattern.text) for pattern in never)
        shown = next((lines for lines in self._kept if lines), None)
        if shown is None:
            return f"nothing matched {looked_for}; the output is empty"
        lines = " | ".join(line.strip()[:_SHOWN_CHARACTERS] for line in shown)
        return f"nothing matched {looked_for}; the output has: {lines}"

    def _read(self, line: str) -> Reading | None:
        """The report that this line completes."""
        self._keep(line)
        for name, pattern in self._patterns.items():
            if found := pattern.search(line):
                self._matched[name] += 1
                into = self._counts if name in COUNTS else self._metrics
                into[name] = self._number(found, pattern.group, pattern, line)
                for count in COUNTS:
                    number = found.re.groupindex.get(count)
                    if count != name and number is not None and found[number] is not None:
                        self._counts[count] = self._number(found, number, pattern, line)
        if not (self._patterns.keys() - COUNTS) <= self._metrics.keys():
            return None
        step = self._counts.get(COUNTS[1])
        reading = Reading(
            metrics=self._metrics,
            epoch=self._counts.get(COUNTS[0]),
            step=None if step is None else int(step),
        )
        self._metrics, self._counts = {}, {}
        return reading

    def _number(self, found: re.Match[str], group: int, pattern: Pattern, line: str) -> float:
        number = number_in(found[group] or "")
        if number is None:
            raise TaskError(
                f"report.{pattern.metric}: {pattern.text!r} took {found[group]!r} from the line "
                f"{line.strip()[:_SHOWN_CHARACTERS]!r}, but a number is needed"
            )
        return number

    def _keep(self, line: str) -> None:
        """Keep it for `explain`, by how much it looks like a metric."""
        lower = line.lower()
        words = [word for name in self._patterns for word in re.findall(r"[a-z]+", name.lower())]
        looks = (any(word in lower for word in words), any(map(str.isdigit, line)), True)
        for lines, fits in zip(self._kept, looks, strict=True):
            if fits:
                lines.append(line)
