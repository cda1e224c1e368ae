"""`lrsearch.compare`: several studies beside each other."""

from html import escape
from pathlib import Path

from lrsearch.api.open_study import open_study
from lrsearch.api.result import Result
from lrsearch.plain_data import Document
from lrsearch.report.comparison import comparison as compared
from lrsearch.report.comparison.documents import comparison_document
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.comparison.load import Named
from lrsearch.report.comparison.text import sentences, title


class Comparison:
    """Studies beside each other, as they stood when it was made; its `repr` is one line."""

    def __init__(self, found: compared.Comparison) -> None:
        self._found = found

    @property
    def names(self) -> tuple[str, ...]:
        """The studies, the first as the one that the others are compared with."""
        return self._found.labels

    @property
    def compared(self) -> tuple[compared.Compared, ...]:
        """How each but the first compares with the first."""
        return self._found.compared

    @property
    def sentences(self) -> tuple[str, ...]:
        """What `lrsearch study compare` says first."""
        return tuple(sentences(self._found))

    def to_dict(self) -> Document:
        """The document that `lrsearch study compare --json` prints."""
        return comparison_document(self._found)

    def report(self, path: str | Path) -> Path:
        """Write a page with figures to a path that ends in `.html`, or Markdown to one in `.md`.

        Returns the path. Raises SpecError for another ending, StudyError if it cannot be written.
        """
        from lrsearch.report.comparison.page import write_comparison  # altair

        write_comparison(self._found, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.names)}: {title(self._found)})"

    def _repr_html_(self) -> str:
        """The sentences, for notebooks."""
        lines = [f"<p><b>{escape(title(self._found))}</b></p>"]
        lines += [f"<p>{escape(line)}</p>" for line in self.sentences]
        return "<div>" + "".join(lines) + "</div>"


def compare(*studies: Result | str, storage: str | None = None) -> Comparison:
    """Whose recipe is better, how sure that is, and in what the studies differ.

    Each study, a result of `search` or `open_study` or the name of a study, is compared with the
    first. `storage` is the database of the names, as in `search`; `NAME@URL` is a study of another
    one. Where both recipes were trained with fresh seeds, there is a 95 % interval of the
    difference: of runs in pairs where the studies share the seeds, else of the means (Welch's t).

    Raises StudyError for fewer than two studies, for one that comes twice, for a name that is not
    there, and for studies that differ in the metric of their objective or its direction;
    StorageError where a database cannot be opened.
    """
    results = [_result(study, storage) for study in studies]
    names = [result.name for result in results]
    entries = []
    for place, result in enumerate(results, start=1):
        unique = names.count(result.name) == 1
        label = result.name if unique else f"{result.name} ({place})"
        entries.append(Entry(label=label, report=result._report))
    return Comparison(compared.comparison(entries))


def _result(study: Result | str, storage: str | None) -> Result:
    if isinstance(study, Result):
        return study
    named = Named.parse(study)
    return open_study(named.name, storage=named.url or storage)
