"""A comparison as a file: one self-contained page, or Markdown."""

from pathlib import Path

from markupsafe import Markup

from lrsearch.errors import StudyError
from lrsearch.report.comparison.comparison import Comparison
from lrsearch.report.comparison.figures import figures
from lrsearch.report.comparison.out import HTML, check_file
from lrsearch.report.comparison.tables import tables
from lrsearch.report.comparison.text import sentences, title
from lrsearch.report.page.charts import draw, library
from lrsearch.report.page.page import Content, Script, asset, charts_json, template


def write_comparison(found: Comparison, out: Path) -> None:
    """Write the page, or Markdown into a file of that ending.

    Raises SpecError for another ending, StudyError if the file cannot be written.
    """
    is_page = check_file(out).suffix.lower() in HTML
    text = page_text(found) if is_page else markdown_text(found)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StudyError(f"--out {out}: cannot write the comparison: {reason}") from error


def page_text(found: Comparison) -> str:
    """HTML that needs no other file."""
    drawings = [draw(figure) for figure in figures(found)]
    recipes = [
        trial.parsed
        for entry in found.entries
        for trial in entry.report.trials
        if trial.parsed is not None
    ]
    content: dict[str, Content] = {
        "drawings": drawings,
        "charts": charts_json(drawings),
        "scripts": [Script(text=library()), Script(text=asset("page.js"))] if drawings else [],
        "style": Markup(asset("page.css")),
        "optimizers": sorted({recipe.optimizer_name for recipe in recipes}),
        "schedules": sorted({recipe.schedule_name for recipe in recipes}),
    }
    page = template("comparison.html.jinja")
    return page.render({**_words(found), **content})


def markdown_text(found: Comparison) -> str:
    """The sentences and tables; figures are on the page alone."""
    return template("comparison.md.jinja").render(_words(found))


def _words(found: Comparison) -> dict[str, Content]:
    return {
        "labels": found.labels,
        "metric": found.objective.metric,
        "title": title(found),
        "sentences": sentences(found),
        "tables": tables(found),
    }
