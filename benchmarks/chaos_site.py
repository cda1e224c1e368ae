"""Where chaos.py happens: a database of its own, reached through a proxy, a small disk, a study."""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chaos_task
from chaos_fleet import Fleet
from chaos_side import Side
from sqlalchemy import Connection, func, make_url, select

from lrsearch import StudySpec
from lrsearch.errors import StorageError
from lrsearch.spec.parts import Checkpointing, Lease
from lrsearch.storage import tables
from lrsearch.storage.database import Database
from lrsearch.storage.location import Location
from lrsearch.study.create import create_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import prepare
from lrsearch.task.find import load_task

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))  # the server and the proxy are the tests' own

from chaos_server import cluster  # noqa: E402

STUDY = "chaos"
STEPS_PER_EPOCH = chaos_task.SAMPLES // chaos_task.BATCH
EPOCHS = 16
#: What a worker waits in each training step: a full trial takes 5 s.
STEP_SECONDS = 0.025
DISK_MEGABYTES = 96


@dataclass(frozen=True, kw_only=True)
class Times:
    """How soon a dead worker is noticed, and how much of its training is lost with it; seconds."""

    lease: float
    #: Of training between two checkpoints, beside those at rungs.
    every: float


#: Young's interval for a worker that is lost every 20 s and checkpoints of 10 ms.
QUICK = Times(lease=3.0, every=0.6)
#: Those of a study that names none.
DEFAULT = Times(lease=Lease().seconds, every=Checkpointing().every)


def spec_of(
    trials: int, seed: int, checkpoints: Path, *, times: Times = QUICK, fused: bool = False
) -> StudySpec:
    """A study with everything that a worker's death could spoil: rungs, averages, windows.

    `fused` trials are the same to rounding alone: none may be trained where that grows.
    """
    return StudySpec.from_dict(
        {
            "name": STUDY,
            "task": f"chaos_task.py:{'task_in_float64' if fused else 'task'}",
            "epochs": EPOCHS,
            "budget": {"trials": trials, "epochs": 2 * trials * EPOCHS},
            "pruning": {"eta": 2, "rungs": [0.25, 0.5]},
            "confirm": {"top": 3},
            "space": {
                "optimizers": {
                    "sgd": {
                        "lr": {"low": 1e-3, "high": 0.03 if fused else 10.0, "log": True},
                        "momentum": 0.9,
                    },
                    "adamw": {},
                },
                "schedules": {"constant": {}, "cosine": {}, "one_cycle": {}, "plateau": {}},
            },
            "seed": seed,
            "lease": {"seconds": times.lease, "stall": 20},
            "checkpoints": {"to": str(checkpoints), "every": times.every},
        }
    )


class Disk:
    """A folder on a file system of its own, small enough to be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):  # to the last page
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self) -> None:
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk | None]:
    """A disk mounted at the folder; None where this user may not mount one."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=0777", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(["mount", *options], capture_output=True).returncode:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@dataclass(kw_only=True)
class Site:
    """Everything that faults strike, and the study that has to survive them."""

    folder: Path
    #: Opened past the proxy: what looks at the study is not hurt with it.
    database: Database
    #: Where workers find the database.
    url: str
    disk: Any
    #: The PostgreSQL, with what stands before it.
    cluster: Any = None
    times: Times = QUICK
    #: Trials that a worker trains at once; 1 is one by one.
    fuse: int = 1
    search: OpenStudy = field(init=False)
    fleet: Fleet = field(init=False)
    side: Side = field(init=False)

    @property
    def lease(self) -> float:
        """Seconds until a lease ends unless it is renewed."""
        return self.times.lease

    @property
    def places(self) -> set[str]:
        """What is there to be hurt."""
        there = {"disk": self.disk}
        if self.cluster is not None:
            clock, pooler = self.cluster.clock, self.cluster.pooler
            there |= {"server": self.server, "network": self.proxy, "alone": self.proxy}
            there |= {"server clock": clock, "pooler": pooler}
            there |= {"replica": self.server, "server settings": self.server}
        if self.fuse == 1:
            there |= {"loaders": True}  # those of trials that train at once read tensors
        return {
            "workers",
            "workers' studies",
            *(place for place, thing in there.items() if thing is not None),
        }

    @property
    def server(self) -> Any:
        """The server that takes writes."""
        return None if self.cluster is None else self.cluster.server

    @property
    def proxy(self) -> Any:
        """What clients connect to."""
        return None if self.cluster is None else self.cluster.proxy

    def create(self, trials: int, seed: int) -> None:
        checkpoints = self.folder / "small" / "checkpoints"
        spec = spec_of(trials, seed, checkpoints, times=self.times, fused=self.fuse > 1)
        self.search, _ = create_study(
            self.database,
            spec,
            load_task(spec.task, HERE),
            steps_per_epoch=STEPS_PER_EPOCH,
            batch_size=chaos_task.BATCH,
            exist_ok=False,
        )

    def start(self, workers: int, chance: random.Random) -> None:
        environment = {
            "LRSEARCH_STORAGE": self.url,
            "OMP_NUM_THREADS": "1",
            chaos_task.STEP_SECONDS: str(STEP_SECONDS),
        }
        folder = self.folder / "fleet"
        folder.mkdir()
        command = ["worker", STUDY, "--fuse", str(self.fuse) if self.fuse > 1 else "off"]
        self.side = Side(self)
        entrance = None if self.proxy is None else self.proxy.port
        self.fleet = Fleet(
            folder, command, environment, workers=workers, chance=chance, entrance=entrance
        )

    def ended(self) -> int | None:
        """How many trials and confirmation runs have ended; None while the database is down."""
        try:
            with self.database.read() as connection:
                return sum(_ended(connection, t) for t in (tables.trials, tables.confirmations))
        except StorageError:
            return None


def _ended(connection: Connection, table: Any) -> int:
    query = select(func.count()).where(table.c.state.not_in(("running", "waiting")))
    return int(connection.execute(query).scalar_one())


@contextmanager
def opened_site(
    storage: str, fuse: int = 1, pool: str | None = None, *, times: Times = QUICK
) -> Iterator[Site]:
    """A site of its own on this kind of database; nothing stays behind.

    `pool` is the mode of a pgbouncer before a PostgreSQL.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        folder.chmod(0o755)  # the server runs as another user
        disk = stack.enter_context(small_disk(folder / "small"))
        if storage == "sqlite":
            url = own = f"sqlite:///{folder / 'small' / 'study.db'}"
            servers = None
        else:
            servers = stack.enter_context(cluster(folder, pool, on_disk=disk is not None))
            url, own = servers.create(STUDY)
            own = own.replace("postgresql:", "postgresql+psycopg:", 1)
        database = Database(Location(url=make_url(own), source="chaos"))
        stack.callback(database.close)
        prepare(database)
        site = Site(
            folder=folder,
            database=database,
            url=url,
            disk=disk,
            fuse=fuse,
            cluster=servers,
            times=times,
        )
        try:
            yield site
        finally:
            if hasattr(site, "fleet"):
                site.fleet.close()
