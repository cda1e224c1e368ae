"""Fields of a study by which people share machines."""

from dataclasses import dataclass

from lrsearch.study_name import DEFAULT_PROJECT


@dataclass(frozen=True, kw_only=True)
class OfTeam:
    """Whose a study is, and how it shares its project's workers."""

    project: str = DEFAULT_PROJECT
    #: Who created it; None: an older version of lrsearch did not say.
    owner: str | None = None
    #: The studies of a project with the highest are trained first.
    priority: int = 0
    #: That train it at once; None: as many as there are.
    max_workers: int | None = None
