"""The report's section on the study itself: edges, what more trials would bring, the audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrsearch.report.model import Report
from lrsearch.report.text.format import EMPTY
from lrsearch.report.text.page import Grid
from lrsearch.report.text.review import audit_line, gain_line, share_text, warning_lines


@dataclass(frozen=True, kw_only=True)
class Hindsight:
    warnings: tuple[str, ...]
    lines: tuple[str, ...]
    #: Of each schedule with enough audited trials; no rows otherwise.
    audit: Grid

    @property
    def is_empty(self) -> bool:
        return not (self.warnings or self.lines)


def hindsight(report: Report) -> Hindsight:
    gain = gain_line(report.advice, report.history.metric)
    lines = [line for line in (gain, audit_line(report.audit)) if line is not None]
    return Hindsight(
        warnings=tuple(warning_lines(report.advice)),
        lines=tuple(lines),
        audit=_audit_table(report.audit),
    )


def _audit_table(audit: Mapping[str, Any]) -> Grid:
    columns = ("schedule", "audited", "falsely pruned", "share")
    rows = [_row(name, found) for name, found in audit["families"].items()]
    if rows:
        rows.append(_row("all", audit))
    return Grid(columns=columns, rows=tuple(rows))


def _row(name: str, rate: Mapping[str, Any]) -> tuple[str, ...]:
    share = EMPTY if rate["share"] is None else share_text(rate)
    return (name, str(rate["audited"]), str(rate["false"]), share)
