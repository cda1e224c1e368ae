"""What chaos.py does to workers, database, network and disk: one function per fault.

A fault strikes, and may leave something to be undone after some seconds.
"""

import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
from chaos_fleet import LEAVE

from lrsearch.errors import StorageError

if TYPE_CHECKING:
    from chaos_fleet import Worker
    from chaos_site import Site

HOUR = 3600
#: Time zones that are far from UTC on either side.
ZONES = ("Asia/Tokyo", "America/Los_Angeles")

#: What stands between worker and server gives a connection up after one to three times so many
#: seconds, or leases if they are shorter.
HALF_CLOSED = 10.0


@dataclass(frozen=True, kw_only=True)
class Blow:
    """What a fault did."""

    what: str
    #: Undone after so many seconds.
    seconds: float = 0.0
    undo: Callable[[], object] | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A kind of fault."""

    strike: "Callable[[Site, random.Random], Blow]"
    #: How often among 60.
    weight: int
    #: What must be there to be hurt.
    place: str

    @property
    def lane(self) -> str:
        """Faults of the same lane do not overlap; those of workers do."""
        # A server that has crashed needs its disk to come back, and can be told nothing.
        others = ("disk", "replica", "server settings", "workers' studies")
        servers = dict.fromkeys(others, "server")
        return {"workers": "", "loaders": "", "server clock": "", **servers}.get(
            self.place, self.place
        )


def _victim(site: "Site", chance: random.Random) -> "Worker":
    return chance.choice(site.fleet.active)


def _hurt_all(site: "Site") -> None:
    for worker in site.fleet.alive:
        worker.hurt = True


def _ask_to_leave(site: "Site", chance: random.Random, number: signal.Signals) -> Blow:
    """Whoever was asked before is killed instead: to ask twice is a user's way to say at once."""
    staying = [worker for worker in site.fleet.active if not worker.was_sent(*LEAVE)]
    worker = chance.choice(staying or site.fleet.active)
    sent = number if staying else signal.SIGKILL
    worker.send(sent)
    return Blow(what=f"{sent.name} to {worker.name}")


def kill(site: "Site", chance: random.Random) -> Blow:
    worker = _victim(site, chance)
    worker.send(signal.SIGKILL)
    return Blow(what=f"SIGKILL to {worker.name}")


def kill_others(site: "Site", chance: random.Random) -> Blow:
    spared = _victim(site, chance)
    killed = [worker for worker in site.fleet.alive if worker is not spared]
    for worker in killed:
        worker.send(signal.SIGKILL)
    return Blow(what=f"SIGKILL to all {len(killed)} but {spared.name}")


def stop(site: "Site", chance: random.Random) -> Blow:
    """Longer than its lease, so that another takes over what it holds."""
    worker, seconds = _victim(site, chance), site.lease * chance.uniform(1.3, 2.5)
    worker.send(signal.SIGSTOP)
    return Blow(
        what=f"SIGSTOP to {worker.name} for {seconds:.1f} s",
        seconds=seconds,
        undo=lambda: worker.send(signal.SIGCONT),
    )


def term(site: "Site", chance: random.Random) -> Blow:
    return _ask_to_leave(site, chance, signal.SIGTERM)


def usr1(site: "Site", chance: random.Random) -> Blow:
    return _ask_to_leave(site, chance, signal.SIGUSR1)


def clock(site: "Site", chance: random.Random) -> Blow:
    """The next worker in its place has a clock that is wrong by an hour, and another time zone."""
    worker, ahead, zone = _victim(site, chance), chance.choice((-HOUR, HOUR)), chance.choice(ZONES)
    site.fleet.disguise_next(worker, clock=ahead, zone=zone)
    worker.send(signal.SIGKILL)
    return Blow(what=f"SIGKILL to {worker.name}; the next one's clock is {ahead:+d} s, {zone}")


def restart(site: "Site", chance: random.Random) -> Blow:
    site.server.restart()
    return Blow(what="PostgreSQL restarted")


def crash(site: "Site", chance: random.Random) -> Blow:
    seconds = chance.uniform(0.2, 4)
    site.server.kill()
    return Blow(
        what=f"PostgreSQL killed for {seconds:.1f} s", seconds=seconds, undo=site.server.start
    )


def cut(site: "Site", chance: random.Random) -> Blow:
    site.proxy.cut()
    return Blow(what="all connections cut")


def cut_commit(site: "Site", chance: random.Random) -> Blow:
    """The server commits, and nobody is told."""
    site.proxy.cut_after(b"COMMIT")
    return Blow(what="all connections cut after a COMMIT", seconds=2.0, undo=site.proxy.resume)


def refuse(site: "Site", chance: random.Random) -> Blow:
    seconds = chance.uniform(1, 4)
    site.proxy.refuse()
    return Blow(
        what=f"connections refused for {seconds:.1f} s", seconds=seconds, undo=site.proxy.resume
    )


def delay(site: "Site", chance: random.Random) -> Blow:
    late, seconds = chance.uniform(0.05, 0.2), chance.uniform(2, 4)
    site.proxy.delay(late)
    return Blow(
        what=f"messages {late:.2f} s late for {seconds:.1f} s",
        seconds=seconds,
        undo=site.proxy.resume,
    )


def silence(site: "Site", chance: random.Random) -> Blow:
    seconds = site.lease * chance.uniform(0.5, 2)
    site.proxy.silence()
    _hurt_all(site)
    return Blow(what=f"network silent for {seconds:.1f} s", seconds=seconds, undo=site.proxy.resume)


def half_close(site: "Site", chance: random.Random) -> Blow:
    """One side is told nothing, until what stands between them gives the connections up."""
    side = chance.choice(("client", "server"))
    seconds = min(site.lease, HALF_CLOSED) * chance.uniform(1, 3)
    site.proxy.half_close(side)
    _hurt_all(site)
    return Blow(
        what=f"connections closed towards the {side} alone for {seconds:.1f} s",
        seconds=seconds,
        undo=site.proxy.cut,
    )


def disk(site: "Site", chance: random.Random) -> Blow:
    seconds = chance.uniform(2, 4)
    site.disk.fill()
    return Blow(what=f"disk full for {seconds:.1f} s", seconds=seconds, undo=site.disk.free)


def loader(site: "Site", chance: random.Random) -> Blow:
    """A process that reads data for a worker is killed, as the kernel does for want of memory."""
    worker = _victim(site, chance)
    found = psutil.Process(worker.process.pid).children() if worker.alive else []
    if not found:
        return Blow(what=f"{worker.name} has no DataLoader process yet")
    chance.choice(found).kill()
    worker.hurt = True
    return Blow(what=f"SIGKILL to a DataLoader process of {worker.name}")


def alone(site: "Site", chance: random.Random) -> Blow:
    worker, seconds = _victim(site, chance), site.lease * chance.uniform(1, 3)
    worker.proxy.silence()
    worker.hurt = True
    return Blow(
        what=f"the network of {worker.name} alone silent for {seconds:.1f} s",
        seconds=seconds,
        undo=worker.proxy.resume,
    )


def failover(site: "Site", chance: random.Random) -> Blow:
    """The replica that takes over lacks the last commits."""
    silent, seconds = chance.uniform(0.3, 1.5), chance.uniform(0.2, 3)
    site.cluster.begin_failover(silent)
    return Blow(
        what=f"PostgreSQL killed; in {seconds:.1f} s a replica without its last {silent:.1f} s",
        seconds=seconds,
        undo=site.cluster.end_failover,
    )


def read_only(site: "Site", chance: random.Random) -> Blow:
    seconds = chance.uniform(1, 4)
    site.cluster.set_read_only(True)
    return Blow(
        what=f"PostgreSQL read-only for {seconds:.1f} s",
        seconds=seconds,
        undo=lambda: site.cluster.set_read_only(False),
    )


def clock_back(site: "Site", chance: random.Random) -> Blow:
    """The server's clock, for good: it seems to have started in the future then."""
    seconds = chance.randrange(600, HOUR)
    site.cluster.set_clock_back(seconds)
    return Blow(what=f"PostgreSQL's clock set back by {seconds} s")


def pooler(site: "Site", chance: random.Random) -> Blow:
    seconds = chance.uniform(0.2, 3)
    site.cluster.pooler.kill()
    return Blow(
        what=f"pgbouncer killed for {seconds:.1f} s",
        seconds=seconds,
        undo=site.cluster.pooler.start,
    )


def recreate(site: "Site", chance: random.Random) -> Blow:
    """A study beside this one is deleted under its worker, and another is made at once.

    A worker that is stopped may hold SQLite's lock until the storm goes on: no study is made then.
    """
    seconds = chance.uniform(3, 8)
    try:
        made = site.side.begin()
    except StorageError as error:
        return Blow(what=f"no study beside: {error}")
    return Blow(
        what=f"study {made.search.name} is trained, and will be deleted in {seconds:.1f} s",
        seconds=seconds,
        undo=lambda: site.side.swap(made),
    )


FAULTS: dict[str, Fault] = {
    "kill": Fault(strike=kill, weight=8, place="workers"),
    "kill_others": Fault(strike=kill_others, weight=3, place="workers"),
    "stop": Fault(strike=stop, weight=8, place="workers"),
    "term": Fault(strike=term, weight=4, place="workers"),
    "usr1": Fault(strike=usr1, weight=3, place="workers"),
    "clock": Fault(strike=clock, weight=4, place="workers"),
    "restart": Fault(strike=restart, weight=4, place="server"),
    "crash": Fault(strike=crash, weight=4, place="server"),
    "cut": Fault(strike=cut, weight=4, place="network"),
    "cut_commit": Fault(strike=cut_commit, weight=4, place="network"),
    "refuse": Fault(strike=refuse, weight=3, place="network"),
    "delay": Fault(strike=delay, weight=3, place="network"),
    "silence": Fault(strike=silence, weight=3, place="network"),
    "half_close": Fault(strike=half_close, weight=3, place="network"),
    "disk": Fault(strike=disk, weight=4, place="disk"),
    "loader": Fault(strike=loader, weight=3, place="loaders"),
    "alone": Fault(strike=alone, weight=3, place="alone"),
    "failover": Fault(strike=failover, weight=4, place="replica"),
    "read_only": Fault(strike=read_only, weight=3, place="server settings"),
    "clock_back": Fault(strike=clock_back, weight=2, place="server clock"),
    "pooler": Fault(strike=pooler, weight=3, place="pooler"),
    "recreate": Fault(strike=recreate, weight=3, place="workers' studies"),
}


def mix(count: int, names: Sequence[str], chance: random.Random) -> list[str]:
    """So many faults of these kinds in a random order, each kind about as often as its weight."""
    total = sum(FAULTS[name].weight for name in names)
    owed: Counter[str] = Counter()
    drawn = []
    for _ in range(count):
        owed.update({name: FAULTS[name].weight for name in names})
        name = max(names, key=lambda name: owed[name])
        owed[name] -= total
        drawn.append(name)
    chance.shuffle(drawn)
    return drawn
