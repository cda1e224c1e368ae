"""What chaos.py does to workers, database, network and disk: one function per fault.

A fault strikes, and may leave something to be undone after some seconds.
"""

import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos_fleet import LEAVE

if TYPE_CHECKING:
    from chaos_fleet import Worker
    from chaos_site import Site

HOUR = 3600
#: Time zones that are far from UTC on either side.
ZONES = ("Asia/Tokyo", "America/Los_Angeles")


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
        # A server that has crashed needs its disk to come back.
        return {"workers": "", "disk": "server"}.get(self.place, self.place)


def _victim(site: "Site", chance: random.Random) -> "Worker":
    return chance.choice(site.fleet.active)


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
    return Blow(what=f"network silent for {seconds:.1f} s", seconds=seconds, undo=site.proxy.resume)


def half_close(site: "Site", chance: random.Random) -> Blow:
    """One side is told nothing, until what stands between them gives the connections up."""
    side, seconds = chance.choice(("client", "server")), site.lease * chance.uniform(1, 3)
    site.proxy.half_close(side)
    return Blow(
        what=f"connections closed towards the {side} alone for {seconds:.1f} s",
        seconds=seconds,
        undo=site.proxy.cut,
    )


def disk(site: "Site", chance: random.Random) -> Blow:
    seconds = chance.uniform(2, 4)
    site.disk.fill()
    return Blow(what=f"disk full for {seconds:.1f} s", seconds=seconds, undo=site.disk.free)


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
