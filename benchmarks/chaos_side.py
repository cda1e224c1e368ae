"""A second study beside that of chaos.py: it is deleted under its worker, and made anew."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import chaos_task
from chaos_fleet import Disguise, Worker, last_error
from sqlalchemy import select

from lrsearch import StudySpec
from lrsearch.errors import StorageError
from lrsearch.storage import tables
from lrsearch.storage.database import Database
from lrsearch.study.create import create_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.task.find import load_task

if TYPE_CHECKING:
    from chaos_checks import Check
    from chaos_site import Site

#: A worker whose study was deleted has so long to end: in an outage it waits.
END_SECONDS = 60.0
#: So long the storm waits for SQLite's lock, and no stopped worker goes on meanwhile.
BUSY_SECONDS = 5.0


@dataclass(frozen=True)
class Made:
    """A study, and the worker that trains it."""

    search: OpenStudy
    worker: Worker


class Side:
    """Makes studies beside the one that is looked at, and deletes them."""

    def __init__(self, site: "Site") -> None:
        self.site = site
        self.database = Database(site.database.location, busy_seconds=BUSY_SECONDS)
        self.deleted: list[Made] = []
        #: Made after another was deleted; nobody works on them.
        self.fresh: list[OpenStudy] = []
        self._count = 0

    def begin(self) -> Made:
        """A study with a worker."""
        search = self._make(0.01)
        folder = self.site.folder / "fleet" / f"of-{search.name}"
        command = ["worker", search.name, "--fuse", "off"]
        return Made(search, self.site.fleet.another(folder, command, Disguise(host="here")))

    def swap(self, made: Made) -> None:
        """Delete its study under its worker, and make another of another space at once.

        A worker that is stopped may hold SQLite's lock until the storm goes on: a line says so.
        """
        try:
            made.search.delete()
            self.deleted.append(made)
            self.fresh.append(self._make(10.0))
        except StorageError as error:
            print(f"study {made.search.name}: {error}", file=sys.stderr, flush=True)

    def _make(self, lr: float) -> OpenStudy:
        from chaos_site import HERE, STEPS_PER_EPOCH

        self._count += 1
        spec = StudySpec.from_dict(
            {
                "name": f"side-{self._count}",
                "task": "chaos_task.py:task",
                "epochs": 4,
                "budget": {"trials": 50},
                "pruning": "none",
                "space": {"optimizers": {"sgd": {"lr": {"low": lr, "high": 2 * lr}}}},
                "checkpoints": {"to": str(self.site.folder / "side")},
            }
        )
        task = load_task(spec.task, HERE)
        sizes = {"steps_per_epoch": STEPS_PER_EPOCH, "batch_size": chaos_task.BATCH}
        return create_study(self.database, spec, task, exist_ok=False, **sizes)[0]

    def check(self) -> "Check":
        """Workers have ended with a sentence, and trained nothing of what came after."""
        from chaos_checks import Check

        broken = []
        for made in self.deleted:
            made.worker.process.join(END_SECONDS)
            broken += [f"{made.worker.name} {line}" for line in _complaints(made.worker)]
        for study in self.fresh:
            c = tables.trials.c
            query = select(c.id).where(c.study_id == study.study_id)
            with self.database.read() as connection:
                if connection.execute(query).first() is not None:
                    broken.append(f"study {study.name} has trials of another")
        self.database.close()
        return Check(what="studies deleted under a worker", count=len(self.deleted), broken=broken)


def _complaints(worker: Worker) -> list[str]:
    code = worker.process.exitcode
    if code is None:
        return ["works on although its study was deleted"]
    if "Traceback" in worker.words:
        return [f"shows a traceback that ends with {last_error(worker.words.splitlines())}"]
    if code != 1 or not worker.last_words.startswith("Error: "):
        return [f"ended with {code}: {worker.last_words}"]
    return []
