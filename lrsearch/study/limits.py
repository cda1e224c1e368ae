"""What keeps a worker from a study: its limit of workers, or its project's quota."""

import re
from dataclasses import dataclass

from sqlalchemy import Connection

from lrsearch.errors import SpecError, StudyError
from lrsearch.storage import actions, projects, studies, workers
from lrsearch.storage.database import Database
from lrsearch.study.stored_study import StoredStudy
from lrsearch.study_name import LONGEST, WORD


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What `lrsearch study limit` sets; None leaves it as it is."""

    priority: int | None = None
    max_workers: int | None = None


class QuotaError(StudyError):
    """A project has trained as many device-hours as it may."""


def has_place(connection: Connection, search: StoredStudy, worker: str) -> bool:
    """Whether the worker is among the first that the study may have at once.

    The first are those that registered first and live: a place is free two leases after its worker
    fell silent. Raises QuotaError where the study's project may train no more.
    """
    found = projects.limits_of(connection, search.study_id)
    if found.device_hours is not None:
        _refuse_over_quota(connection, found.project, found.device_hours)
    if found.max_workers is None:
        return True
    return worker in _alive(connection, search)[: found.max_workers]


def has_free_place(connection: Connection, search: StoredStudy) -> bool:
    """Whether one more worker may train the study."""
    most = projects.limits_of(connection, search.study_id).max_workers
    return most is None or len(_alive(connection, search)) < most


def _alive(connection: Connection, search: StoredStudy) -> list[str]:
    return workers.alive(connection, search.study_id, search.spec.lease.seconds)


def refuse_over_quota(connection: Connection, project: str) -> None:
    """Raises QuotaError if the project has trained as many device-hours as it may."""
    allowed = projects.limits(connection).get(project)
    if allowed is not None:
        _refuse_over_quota(connection, project, allowed)


def _refuse_over_quota(connection: Connection, project: str, allowed: float) -> None:
    used = projects.used_hours(connection, project)
    if used >= allowed:
        raise QuotaError(
            f"project {project!r} has used {used:.4g} of its {allowed:g} device-hours, so nothing "
            f"more is trained; `lrsearch project limit {project} --device-hours N` allows more"
        )


def limit_study(search: StoredStudy, limits: Limits) -> None:
    """Change a study's priority and how many workers train it at once."""
    given = {k: v for k, v in vars(limits).items() if v is not None}
    values = {k: v or None if k == "max_workers" else v for k, v in given.items()}
    said = ", ".join(f"{name} = {value}" for name, value in values.items())
    with search.database.begin() as connection:
        study = studies.lock(connection, search.study_id)
        studies.change(connection, search.study_id, **values)
        actions.record(connection, study.project, study.name, f"limited: {said}")


def limit_project(database: Database, project: str, device_hours: float | None) -> None:
    """Change how many device-hours a project may train in all; None: no limit.

    The project may still be without studies. Raises SpecError for what no project is called.
    """
    if not re.fullmatch(WORD, project) or len(project) > LONGEST:
        raise SpecError(
            f"project {project!r}: letters, digits, '.', '-' and '_' are taken, {LONGEST} at most"
        )
    with database.begin() as connection:
        projects.set_device_hours(connection, project, device_hours)
        limit = "no limit" if device_hours is None else f"{device_hours:g}"
        actions.record(connection, project, None, f"device-hours: {limit}")
