"""From the names of studies to the value that all of a comparison is made of."""

from collections.abc import Sequence

from lrsearch.report.comparison.comparison import Comparison, comparison
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.load import load_report
from lrsearch.storage.database import Database


def load_comparison(database: Database, names: Sequence[str]) -> Comparison:
    """The studies with these names as they stand, the first as the one to compare with.

    Raises StudyError for a name that is not there or comes twice, for fewer than two, and for
    studies of different objectives.
    """
    reports = {name: load_report(database, name) for name in dict.fromkeys(names)}
    return comparison([Entry(label=name, report=reports[name]) for name in names])
