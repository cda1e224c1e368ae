"""Looking a study over: what is wrong in its rows, what of it was mended, what was not."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from lrsearch.plain_data import Document
from lrsearch.storage import consistency, leases, rung_counts, studies
from lrsearch.storage.records import StudyRecord
from lrsearch.study.lost_work import HorizonOf
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna import gate
from lrsearch.study.status import reap


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What a look at a study found."""

    study: str
    #: What was done, a line each.
    done: list[str]
    #: What is wrong and was left: nothing here can tell what is right.
    wrong: list[str]

    def to_dict(self) -> Document:
        return asdict(self)


def repair(search: OpenStudy) -> Repair:
    """Free what the dead held, recount the budget, and check what must hold of every trial.

    Safe beside living workers: it holds the study's row while it counts, nothing while it checks.
    """
    done = reap(search)
    with search.database.begin() as connection:
        study = studies.lock(connection, search.study_id)
        done += _recount(connection, study, search.horizon_of)
        ended = leases.end_stale(connection, search.study_id)
        done += [f"ended {ended} leases of what no longer runs"] if ended else []
    with search.database.begin() as connection:  # workers lock these before the study's row
        rungs = rung_counts.recount(connection, search.study_id)
        done += [f"counted the marks at rung {rung} anew" for rung in rungs]
    wrong = search.database.look(lambda connection: list(_wrong(connection, search.study_id)))
    return Repair(study=search.name, done=done, wrong=wrong)


def _recount(connection: Connection, study: StudyRecord, horizon_of: HorizonOf) -> list[str]:
    """Set the counters of the budget to what the rows say.

    Epochs that were used are never given back: confirmation runs that were planned anew have
    trained, and their rows are gone.
    """
    found = consistency.totals(connection, study.study_id, horizon_of)
    found = replace(found, epochs_used=max(found.epochs_used, study.epochs_used))
    pairs = {name: (getattr(study, name), value) for name, value in vars(found).items()}
    off = {name: (was, now) for name, (was, now) in pairs.items() if not _equal(was, now)}
    if off:
        studies.change(connection, study.study_id, **{name: now for name, (_, now) in off.items()})
    return [f"{name} {was:g} is {now:g} now" for name, (was, now) in off.items()]


def _equal(a: float, b: float) -> bool:
    # Sums of fractions of epochs, added up in another order.
    return abs(a - b) <= 1e-6 * max(1.0, abs(a), abs(b))


def _wrong(connection: Connection, study_id: int) -> Iterator[str]:
    differing = gate.writer(connection).differing(study_id)
    found: Mapping[str, list[int]] = {
        "tickets missing before the last: {}": consistency.missing_tickets(connection, study_id),
        "trials whose end in Optuna differs from ours: {}": differing,
        "trials with a curve and without a recipe: {}": (
            consistency.without_recipe(connection, study_id)
        ),
        "trials whose curve has a gap: {}": consistency.gaps(connection, study_id),
        "trials whose curve ends too early: {}": consistency.cut_short(connection, study_id),
    }
    for text, numbers in found.items():
        if numbers:
            shown = ", ".join(str(number) for number in numbers[:10])
            yield text.format(shown + (", ..." if len(numbers) > 10 else ""))
