"""The files of a report: one self-contained page, markdown, and the plots as PNG."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from lrsearch.errors import LrsearchError
from lrsearch.report.model import Report
from lrsearch.report.plots import figures
from lrsearch.report.text import page as tables
from lrsearch.report.text.captions import Caption, captions
from lrsearch.report.text.hindsight import hindsight
from lrsearch.report.text.range_test import range_test_table
from lrsearch.report.text.result import answer
from lrsearch.report.text.use import use
from lrsearch.user_input import to_yaml

#: What a template prints: values of the report and of `text`, whose fields it names.
Content = Any


@dataclass(frozen=True, kw_only=True)
class Picture:
    caption: Caption
    png: figures.Png

    def data_uri(self, theme: str) -> str:
        content = self.png.light if theme == "light" else self.png.dark
        return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def write_report(report: Report, folder: Path) -> Path:
    """Write `report.html`, `report.md` and the plots into `folder`, made if missing.

    Returns the page's path. Raises LrsearchError if the folder cannot be written.
    """
    pictures = _pictures(report)
    content = _content(report, pictures)
    page = folder / "report.html"
    texts = {
        page: _template("report.html.jinja", autoescape=True).render(content),
        folder / "report.md": _template("report.md.jinja", autoescape=False).render(content),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            (folder / f"{picture.caption.name}.png").write_bytes(picture.png.light)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise LrsearchError(f"{folder}: cannot write the report: {reason}") from error
    return page


def page_text(report: Report) -> str:
    """The page alone, as `write_report` writes it into `report.html`."""
    content = _content(report, _pictures(report))
    return _template("report.html.jinja", autoescape=True).render(content)


def _content(report: Report, pictures: list[Picture]) -> Mapping[str, Content]:
    """What the templates print."""
    top = report.ranked[: tables.TOP_ROWS]
    return {
        "report": report,
        "status": tables.status(report),
        "answer": answer(report),
        "use": use(report),
        "cost": tables.cost(report),
        "engines": tables.engines(report),
        "pictures": pictures,
        "confirmation": tables.confirmation(report),
        "hindsight": hindsight(report),
        "range_tests": range_test_table(report.range_tests),
        "top": tables.trial_table(report, top, reasons=False),
        "trials": tables.trial_table(report, report.trials, reasons=True),
        "spec": to_yaml(report.spec.to_dict()),
        "versions": ", ".join(f"{name} {number}" for name, number in report.versions.items()),
    }


def _pictures(report: Report) -> list[Picture]:
    return [
        Picture(caption=caption, png=figures.png(report, caption.name))
        for caption in captions(report)
    ]


def _template(name: str, *, autoescape: bool) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lrsearch", "report"),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cell"] = _markdown_cell
    return environment.get_template(name)


def _markdown_cell(text: str) -> str:
    """Text that stays inside its cell of a markdown table."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
