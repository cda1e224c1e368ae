"""The dashboard's own pages as HTML: the index, and the frame around a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

import jinja2

from lrsearch.report.all_studies import StudyStatus, of_total
from lrsearch.report.text.format import number
from lrsearch.storage.column_types import one_line


@dataclass(frozen=True, kw_only=True)
class Row:
    """A study in the index."""

    name: str
    #: search | confirmation | paused | finished | open
    state: str
    trials: str
    epochs: str
    #: Metric and value of the search's best.
    best: str
    workers: int

    @property
    def link(self) -> str:
        """The address of its page, below this site."""
        return study_path(self.name)

    @classmethod
    def of(cls, study: StudyStatus) -> Self:
        """A study as it stands."""
        best = study.best
        return cls(
            name=study.name,
            state=study.state,
            trials=of_total(study.trials, study.trials_total),
            epochs=of_total(study.epochs, study.epochs_total),
            best="" if best is None else f"{one_line(study.metric)} {number(best)}",
            workers=study.workers,
        )


def study_path(name: str) -> str:
    """`/study/NAME`"""
    return f"/study/{quote(name, safe='')}"


def index(rows: Sequence[Row], *, where: str, optuna: str | None) -> str:
    """The list of studies of the database `where`."""
    return _template("index.html.jinja").render(rows=rows, where=where, optuna=optuna)


def frame(name: str, *, optuna: str | None) -> str:
    """The page around the report of a study, which shows a later one when there is one."""
    report = f"{study_path(name)}/report.html"
    return _template("frame.html.jinja").render(name=name, report=report, optuna=optuna)


def problem(title: str, text: str) -> str:
    """What is shown in place of a page."""
    return _template("problem.html.jinja").render(title=title, text=text)


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lrsearch.report", "dashboard"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)
