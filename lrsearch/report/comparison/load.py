"""From the names of studies to the value that all of a comparison is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from lrsearch.report.comparison.comparison import Comparison, comparison
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.load import report_of
from lrsearch.storage.database import Database
from lrsearch.storage.location import Location
from lrsearch.study.prepare_database import open_database
from lrsearch.study.stored_study import StoredStudy


@dataclass(frozen=True, kw_only=True)
class Named:
    """A study as people name it: `digits`, or `digits@URL` in another database."""

    text: str
    name: str
    #: None: the database at hand.
    url: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        name, _, url = text.partition("@")
        return cls(text=text, name=name, url=url or None)


def open_databases(studies: Sequence[Named], storage: Location) -> dict[str | None, Database]:
    """The databases of the studies by URL; `storage` is the one at hand.

    Raises StorageError for one that cannot be opened.
    """
    return {
        url: open_database(storage if url is None else url)
        for url in dict.fromkeys(study.url for study in studies)
    }


def load_comparison(
    studies: Sequence[Named], databases: Mapping[str | None, Database]
) -> Comparison:
    """The studies as they stand, the first as the one to compare with.

    Raises StudyError for a name that is not there or comes twice, for fewer than two, and for
    studies of different objectives.
    """
    reports = {
        study: report_of(StoredStudy.open(databases[study.url], study.name)) for study in studies
    }
    names = [study.name for study in reports]
    return comparison(
        [
            Entry(
                label=study.name if names.count(study.name) == 1 else study.text,
                report=reports[study],
                url=study.url,
            )
            for study in studies
        ]
    )
