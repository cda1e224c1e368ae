"""A `Result` as a table of HTML, which a notebook shows; nothing of it comes from a network."""

from collections.abc import Iterator, Sequence
from html import escape

from lrsearch.api.records import Counts
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, mean, number
from lrsearch.report.text.result import answer

#: Trials that are shown where nothing is confirmed.
TOP_ROWS = 5
_CELL = "text-align: left; padding: 0.2em 1em 0.2em 0; vertical-align: top"


def result_html(report: Report, counts: Counts) -> str:
    """The answer, what was confirmed, else the best trials, and how all trials ended."""
    heads, rows = ["trial", "recipe", report.metric], list(_trial_rows(report))
    if report.confirmed:
        heads, rows = [*heads, "fresh seeds"], list(_confirmed_rows(report))
        note = "; mean and 95 % interval of runs with fresh seeds"
        if all(entry.ci95 is None for entry in report.confirmed):
            note = "; one run with a fresh seed, so without an interval"
    elif rows:
        note = "; values of one seed, not confirmed"
    else:
        note = ""
    found = answer(report)
    parts = [f"<p><b>{escape(found.title)}</b></p>"]
    parts += [f"<p>{escape(line)}</p>" for line in found.lines]
    parts.append(f"<p>Study {escape(report.name)}: {escape(counts.title())}{note}</p>")
    if rows:
        table = "".join(_row("td", row) for row in rows)
        parts.append(f"<table>{_row('th', heads)}{table}</table>")
    return "<div>" + "".join(parts) + "</div>"


def _confirmed_rows(report: Report) -> Iterator[Sequence[str]]:
    """The recommended recipe first."""
    for place, entry in enumerate(report.confirmed):
        role = "recommended" if place == 0 else f"{entry.role}, tied" if entry.tied else entry.role
        yield (
            f"{entry.trial} ({role})",
            Recipe.from_dict(entry.recipe).title(),
            mean(entry.mean, entry.ci95),
            counted(entry.n, "run"),
        )


def _trial_rows(report: Report) -> Iterator[Sequence[str]]:
    """The best, and the baseline where it is none of them."""
    shown = list(report.ranked[:TOP_ROWS])
    baseline = report.baseline
    if baseline is not None and baseline.value is not None and baseline not in shown:
        shown.append(baseline)
    for trial in shown:
        if trial.parsed is not None:
            role = " (baseline)" if trial is baseline else ""
            yield f"{trial.number}{role}", trial.parsed.title(), number(trial.value)


def _row(tag: str, cells: Sequence[str]) -> str:
    text = "".join(f'<{tag} style="{_CELL}">{escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{text}</tr>"
