"""The files of a report: one self-contained page, markdown, and the figures as SVG or PNG."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from lrsearch.errors import LrsearchError
from lrsearch.report.figures.all import figures
from lrsearch.report.model import Report
from lrsearch.report.page import markdown
from lrsearch.report.page.charts import Drawing, draw_all, library
from lrsearch.report.page.renderers import Renderers
from lrsearch.report.rows import Trial
from lrsearch.report.text import page as tables
from lrsearch.report.text.grid import Grid
from lrsearch.report.text.hindsight import hindsight
from lrsearch.report.text.provenance import TITLE, provenance
from lrsearch.report.text.range_test import RANGE_TEST_WORDS, range_test_table
from lrsearch.report.text.result import answer
from lrsearch.report.text.subject import ranked, subject
from lrsearch.report.text.use import use
from lrsearch.user_input import to_yaml

#: What a template prints: values of the report and of `text`, whose fields it names.
Content = Any


@dataclass(frozen=True, kw_only=True)
class Script:
    """A script of the page, and how the page's policy names it: no other one runs."""

    text: str

    @property
    def source(self) -> str:
        digest = hashlib.sha256(self.text.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def write_report(
    report: Report, folder: Path, *, png: bool = False, renderers: Renderers | None = None
) -> Path:
    """Write `report.html`, `report.md` and the figures into `folder`, made if missing.

    The figures are SVG files, which `report.md` shows; with `png` they are PNG files too. This
    process renders them unless there are `renderers`.

    Returns the page's path. Raises LrsearchError if the folder cannot be written.
    """
    drawings = draw_all(figures(report), renderers or Renderers())
    content = _content(report, drawings)
    page = folder / "report.html"
    texts = {
        page: template("report.html.jinja").render(content),
        folder / "report.md": template("report.md.jinja").render(content),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for drawing in drawings:
            (folder / f"{drawing.figure.name}.svg").write_text(drawing.picture, encoding="utf-8")
            if png:
                (folder / f"{drawing.figure.name}.png").write_bytes(drawing.png())
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise LrsearchError(f"{folder}: cannot write the report: {reason}") from error
    return page


def page_text(report: Report) -> str:
    """The page alone, as HTML that needs no other file."""
    drawings = draw_all(figures(report), Renderers())
    return template("report.html.jinja").render(_content(report, drawings))


def _content(report: Report, drawings: Sequence[Drawing]) -> Mapping[str, Content]:
    """What the templates print."""
    top = report.ranked[: tables.TOP_ROWS]
    recipes = [trial.parsed for trial in report.trials if trial.parsed is not None]
    trials = tables.trial_table(report, report.trials, reasons=True)
    return {
        "report": report,
        "subject": subject(report.spec),
        "ranked": ranked(report.spec, len(top), len(report.ranked)),
        "status": tables.status(report),
        "answer": answer(report),
        "use": use(report),
        "cost": tables.cost(report),
        "engines": tables.engines(report),
        "drawings": drawings,
        "charts": charts_json(drawings),
        "scripts": [Script(text=library()), Script(text=asset("page.js"))] if drawings else [],
        "style": Markup(asset("page.css")),
        "optimizers": sorted({recipe.optimizer_name for recipe in recipes}),
        "schedules": sorted({recipe.schedule_name for recipe in recipes}),
        "confirmation": tables.confirmation(report),
        "hindsight": hindsight(report),
        "range_tests": range_test_table(report.range_tests),
        "range_test_words": RANGE_TEST_WORDS,
        "top": tables.trial_table(report, top, reasons=False),
        "trials": trials,
        "rows": _rows(report, trials),
        "provenance": provenance(report),
        "provenance_title": TITLE,
        "spec": to_yaml(report.spec.to_dict()),
    }


def charts_json(drawings: Sequence[Drawing]) -> str:
    """Every specification by the name of its figure, as JSON that a script element can hold."""
    each = (f'"{drawing.figure.name}":{drawing.specification}' for drawing in drawings)
    return "{" + ",".join(each).replace("<", "\\u003c") + "}"


def asset(name: str) -> str:
    """The text of a style sheet or script of the page."""
    return (files("lrsearch.report.page") / "assets" / name).read_text(encoding="utf-8")


def _row_data(trial: Trial) -> Markup:
    """Attributes by which the page's script filters and marks a row."""
    if trial.number is None or trial.parsed is None:
        return Markup()
    recipe = trial.parsed
    return Markup(
        f' id="trial-{trial.number}" data-trial="{trial.number}" '
        f'data-optimizer="{escape(recipe.optimizer_name)}" '
        f'data-schedule="{escape(recipe.schedule_name)}"'
    )


def _rows(report: Report, grid: Grid) -> list[tuple[Trial, list[tuple[str, str, float | None]]]]:
    """Every trial with its cells: column, text, and the number that the text rounds."""
    numbers = tables.trial_numbers(report.trials, report.metric)
    return [
        (trial, list(zip(grid.columns, row, values, strict=True)))
        for trial, row, values in zip(report.trials, grid.rows, numbers, strict=True)
    ]


def _cell_data(number: float | None, text: str) -> Markup:
    """The number to sort by where the cell's text is not it."""
    exact = "" if number is None else f"{number:.15g}"
    return Markup() if exact in ("", text) else Markup(f' data-v="{exact}"')


def template(name: str) -> jinja2.Template:
    """A template of this folder, in which text is text, in HTML or in Markdown."""
    is_page = name.endswith(".html.jinja")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lrsearch.report", "page"),
        autoescape=is_page,
        finalize=None if is_page else markdown.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "cell": markdown.cell,
        "table": markdown.table,
        "fenced": markdown.fenced,
        "row_data": _row_data,
        "cell_data": _cell_data,
    }
    return environment.get_template(name)
