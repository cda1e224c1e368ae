"""The files of a report: one self-contained page, markdown, and the plots as PNG."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from lrsearch.errors import LrsearchError
from lrsearch.report.model import Report
from lrsearch.report.plots import confirmation, figures
from lrsearch.report.text import page as text_page
from lrsearch.report.text.hindsight import hindsight
from lrsearch.user_input import to_yaml


@dataclass(frozen=True, kw_only=True)
class Picture:
    name: str
    title: str
    #: What it shows, for those who cannot see it.
    alt: str
    caption: str
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
            (folder / f"{picture.name}.png").write_bytes(picture.png.light)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise LrsearchError(f"{folder}: cannot write the report: {reason}") from error
    return page


def _content(report: Report, pictures: list[Picture]) -> dict[str, Any]:
    top = report.ranked[: text_page.TOP_ROWS]
    return {
        "report": report,
        "status": text_page.status(report),
        "answer": text_page.answer(report),
        "cost": text_page.cost(report),
        "engines": text_page.engines(report),
        "pictures": pictures,
        "confirmation": text_page.confirmation(report),
        "hindsight": hindsight(report),
        "range_tests": text_page.range_tests(report.range_tests),
        "top": text_page.trial_table(report, top, reasons=False),
        "trials": text_page.trial_table(report, report.trials, reasons=True),
        "spec": to_yaml(report.spec.to_dict()),
        "versions": ", ".join(f"{name} {number}" for name, number in report.versions.items()),
    }


def _pictures(report: Report) -> list[Picture]:
    metric = report.history.metric
    best = "none is complete yet"
    if report.best is not None:
        best = f"the best is {text_page.number(report.best.value)} (trial {report.best.trial})"
    labels = "; ".join(f"trial {curve.label}" for curve in report.curves) or "none yet"
    tried = ", ".join(sorted({point.optimizer for point in report.lr_points})) or "none yet"
    worse = "top" if report.history.direction == "minimize" else "bottom"
    texts = {
        "history": (
            "OpenStudy",
            f"{metric} of {len(report.trials)} trials in the order of their starts; {best}.",
            "A pruned trial stands at its best value until it was stopped. Diverged and failed "
            f"trials have no value and stand at the {worse} edge.",
        ),
        "curves": (
            "Curves of the best trials",
            f"{metric} against epochs for the best trials: {labels}.",
            "All on the search's seed and the same order of the data.",
        ),
        "lr": (
            "Learning rates of the best trials",
            f"Learning rate against epochs for the best trials: {labels}.",
            "As their optimizers and schedulers give it, step by step; for plateau, as recorded "
            "at the validations.",
        ),
        "lr_value": (
            "Learning rate against value",
            f"{metric} against peak learning rate, a panel per optimizer: {tried}; {best}.",
            "Learning rates in torch's units, at the peak of the schedule. Trials differ in more "
            f"than this. Red crosses at the {worse} edge diverged.",
        ),
    }
    if confirmation.drawable(report.confirmed):
        names = ", ".join(f"trial {entry.trial}" for entry in report.confirmed)
        texts["confirmation"] = (
            "Confirmation, seed by seed",
            f"{metric} of every confirmation run that reports: {names}.",
            "Seeds that had no part in the search or in the choice; lines join runs of one seed, "
            "which have the same initial weights and order of the data.",
        )
    tested = [row.optimizer for row in report.range_tests if row.result is not None]
    if tested:
        texts["range_test"] = (
            "Range test",
            f"Training loss against learning rate, a panel per optimizer: {', '.join(tested)}.",
            "lr rises by 15 % each step, from a fresh model. Nine of ten trials are drawn inside "
            "the window, the rest outside it.",
        )
    return [
        Picture(
            name=name,
            title=title,
            alt=alt,
            caption=caption,
            png=figures.png(report, name),
        )
        for name, (title, alt, caption) in texts.items()
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
