"""The report's section on the study itself: edges, what more trials would bring, the audit."""

from dataclasses import dataclass

from lrsearch.report.model import Report
from lrsearch.report.review import Audit
from lrsearch.report.text.format import EMPTY
from lrsearch.report.text.grid import Grid
from lrsearch.report.text.review import review_lines, share_text, warning_lines
from lrsearch.trial.pruning_audit import Rate

MORE, PRUNING = "would more trials help", "was pruning right"


@dataclass(frozen=True, kw_only=True)
class Hindsight:
    warnings: tuple[str, ...]
    lines: tuple[str, ...]
    #: What they tell of.
    of_gain: bool
    of_audit: bool
    #: Of each schedule with enough audited trials; no rows otherwise.
    audit: Grid

    @property
    def title(self) -> str:
        """The questions that its sentences answer."""
        asked = [words for words, told in ((MORE, self.of_gain), (PRUNING, self.of_audit)) if told]
        both = ", and ".join(asked)
        return f"{both[:1].upper()}{both[1:]}?"

    @property
    def is_empty(self) -> bool:
        return not self.lines


def hindsight(report: Report) -> Hindsight:
    return Hindsight(
        warnings=tuple(warning_lines(report.advice)),
        lines=tuple(review_lines(report.advice, report.audit, report.metric)),
        of_gain=report.advice.gain is not None,
        of_audit=report.audit.overall.audited > 0,
        audit=_audit_table(report.audit),
    )


def _audit_table(audit: Audit) -> Grid:
    columns = ("schedule", "audited", "falsely pruned", "share")
    rows = [_row(name, found) for name, found in audit.families.items()]
    if rows:
        rows.append(_row("all", audit.overall))
    return Grid(columns=columns, rows=tuple(rows))


def _row(name: str, rate: Rate) -> tuple[str, ...]:
    return (name, str(rate.audited), str(rate.false), share_text(rate) or EMPTY)
