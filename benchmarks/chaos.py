"""A fleet of workers on one database, hurt at random: does the study come out exactly the same?

Workers are killed, stopped beyond their lease and preempted; PostgreSQL is restarted and killed;
connections are cut, delayed, silenced and half-closed; the disk fills up; clocks are wrong by an
hour. At the end every invariant of the study is checked, and every recipe is trained again,
undisturbed, and compared bit for bit. Run it: python benchmarks/chaos.py --workers 6 --faults 60
"""

import argparse
import json
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import chaos_blame
import chaos_checks
import torch
from chaos_checks import Check
from chaos_faults import FAULTS, Blow, mix
from chaos_fleet import complaints, exits, leaving_seconds
from chaos_site import DEFAULT, HERE, QUICK, STEPS_PER_EPOCH, Site, opened_site

from lrsearch.task.find import load_task

#: Seconds between two looks.
TICK = 0.1
#: No two faults begin closer to each other, and no two further apart, in seconds.
GAPS = (0.5, 3.0)
#: The fleet is not wiped out again before what it held could get on, in seconds after a lease: a
#: trial that is lost three times without a new checkpoint counts as to blame.
MASSACRE_SECONDS = 6.0
#: The last fault falls before this share of all trials and runs has ended.
SPREAD = 0.9
#: Without a fault, and without a trial or run that ends, for so long, the study hangs; beside two
#: leases, within which a dead worker is noticed.
HANG_SECONDS = 60.0
#: Trials that were trained several at once equal those alone so far, relative.
ROUNDING = 1e-9
#: What a log says when a worker's trial has become another's.
LOST = "was taken over"


def _queue(name: str) -> str:
    """Faults that wait for each other: those of a lane, and those that wipe out the fleet."""
    return name if name == "kill_others" else FAULTS[name].lane


class Storm:
    """Faults, one after another, spread over the study's progress."""

    def __init__(self, site: Site, kinds: Sequence[str], chance: random.Random, total: int) -> None:
        self.site, self.chance, self.total = site, chance, total
        self.waiting = list(kinds)
        self.count = len(self.waiting)
        #: How many of each queue there are in all.
        self._in_queue = Counter(map(_queue, kinds))
        #: Name, second and what it did, of each fault so far.
        self.done: list[dict[str, Any]] = []
        self.began = self.last = time.monotonic()
        self._massacre = -math.inf
        #: Lane, when it ends, and how.
        self._open: list[tuple[str, float, Blow]] = []

    @property
    def over(self) -> bool:
        return not self.waiting and not self._open

    def blow(self, ended: int) -> None:
        """Undo what is due; strike if it is time."""
        now = time.monotonic()
        for entry in [entry for entry in self._open if entry[1] <= now]:
            self._open.remove(entry)
            self._undo(entry[2])
        fleet = self.site.fleet
        if self.waiting and self._is_time(ended) and fleet.active and not fleet.finished:
            self._strike()

    def _is_time(self, ended: int) -> bool:
        since = time.monotonic() - self.last
        share = (1 + len(self.done)) / (1 + self.count)
        return since > GAPS[1] or (since > GAPS[0] and ended / self.total >= SPREAD * share)

    def _strike(self) -> None:
        busy = {lane for lane, _, _ in self._open if lane}
        free = [name for name in self.waiting if FAULTS[name].lane not in busy]
        if time.monotonic() - self._massacre < self.site.lease + MASSACRE_SECONDS:
            free = [name for name in free if name != "kill_others"]
        if not free:
            return
        # Of the queue that has come least far: those that have to wait for long shall not be last.
        left = Counter(map(_queue, self.waiting))
        name = max(free, key=lambda name: left[_queue(name)] / self._in_queue[_queue(name)])
        self.waiting.remove(name)
        self.last = time.monotonic()
        if name == "kill_others":
            self._massacre = self.last
        blow = FAULTS[name].strike(self.site, self.chance)
        self._note(name, blow.what)
        if blow.undo is not None:
            self._open.append((FAULTS[name].lane, time.monotonic() + blow.seconds, blow))

    def _undo(self, blow: Blow) -> None:
        assert blow.undo is not None
        blow.undo()

    def calm(self) -> None:
        """Undo everything now."""
        for _, _, blow in self._open:
            self._undo(blow)
        self._open = []

    def _note(self, name: str, what: str) -> None:
        second = round(time.monotonic() - self.began, 1)
        self.done.append({"fault": name, "second": second, "what": what})
        say(f"{second:6.1f} s  {len(self.done):3d}/{self.count}  {what}")


def run(site: Site, storm: Storm) -> bool:
    """Let the fleet work through the storm until the study is finished; False if it hangs."""
    fleet, seen, moved = site.fleet, 0, time.monotonic()
    hang = HANG_SECONDS + 2 * site.lease
    try:
        while fleet.alive or not fleet.finished:
            ended = site.ended() or seen
            if ended != seen or not (storm.over or fleet.finished):
                seen, moved = ended, time.monotonic()
            if time.monotonic() - moved > hang:
                return False
            storm.blow(ended)
            fleet.supervise()
            time.sleep(TICK)
        return True
    finally:
        storm.calm()


def checks_of(site: Site, storm: Storm, *, trials: int, in_time: bool) -> list[Check]:
    """Everything that must be so."""
    found = chaos_checks.look(site.search)
    loaded = load_task(site.search.spec.task, HERE)
    workers, may_blame = site.fleet.everyone, site.times != QUICK
    told = {worker.name: complaints(worker) for worker in workers}
    good = sum(not lines for lines in told.values())
    bad = [f"{name} {line}" for name, lines in told.items() for line in lines]
    unspent = [f"{len(storm.waiting)} faults found the study finished"] if storm.waiting else []
    hangs = [] if in_time else ["nothing ended for a minute and two leases, with workers alive"]
    return [
        Check(what="faults injected", count=len(storm.done), broken=unspent),
        Check(what="study finished", count=int(in_time), broken=hangs),
        Check(what="workers that behaved", count=good, broken=bad),
        site.side.check(),
        chaos_checks.nothing_left(site.folder / "small" / "checkpoints"),
        *([chaos_blame.blamed(found, site.fleet)] if may_blame else []),
        *chaos_checks.of_study(
            found, trials, loaded, 0 if site.fuse == 1 else ROUNDING, may_blame=may_blame
        ),
    ]


def summary(site: Site, storm: Storm, checks: Sequence[Check], seconds: float) -> dict[str, Any]:
    found = chaos_checks.look(site.search)
    workers = site.fleet.everyone
    late = [s for worker in workers if (s := leaving_seconds(worker)) is not None]
    held = [*found.trials, *found.runs, *found.range_tests]
    return {
        "ok": not any(check.broken for check in checks),
        "seconds": round(seconds, 1),
        "faults": dict(sorted(Counter(entry["fault"] for entry in storm.done).items())),
        "states": dict(Counter(row["state"] for row in found.trials)),
        "takeovers": sum(max(0, row["attempt"] - 1) for row in held),
        "attempts": dict(sorted(Counter(row["attempt"] for row in held).items())),
        "leases_lost": sum(LOST in line for worker in workers for line in worker.logged),
        "workers_started": len(workers),
        "exits": exits(workers),
        "slowest_leave_seconds": round(max(late, default=0.0), 1),
        "checks": [asdict(check) for check in checks],
        "log": storm.done,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(options.seed)
    began = time.monotonic()
    times = DEFAULT if options.defaults else QUICK
    with opened_site(options.storage, options.fuse, options.pool, times=times) as site:
        names = [name for name in options.only if FAULTS[name].place in site.places]
        missing = sorted(set(options.only) - set(names))
        if missing:
            say(f"not here: {', '.join(missing)}")
        site.create(options.trials, options.seed)
        total = options.trials + options.trials // 4
        site.start(options.workers, chance)
        storm = Storm(site, mix(options.faults, names, chance), chance, total)
        in_time = run(site, storm)
        seconds = time.monotonic() - began
        if not in_time:
            site.fleet.close()
        say(f"{seconds:6.1f} s  workers have ended; checking")
        checks = checks_of(site, storm, trials=options.trials, in_time=in_time)
        result = summary(site, storm, checks, seconds)
        if options.keep is not None:
            keep(site, options.keep)
    shown = ("seed", "storage", "pool", "workers", "trials", "fuse")
    asked = {key: getattr(options, key) for key in shown}
    asked |= asdict(times)
    return {**asked, "steps_per_epoch": STEPS_PER_EPOCH, "not_here": missing, **result}


def keep(site: Site, folder: Any) -> None:
    """Copy what the workers said, for whoever looks for the reason."""
    import shutil

    shutil.copytree(site.folder / "fleet", folder, dirs_exist_ok=True)


def table(result: Mapping[str, Any]) -> str:
    faults = ", ".join(f"{name} {count}" for name, count in result["faults"].items())
    lines = [
        f"{result['storage']}, {result['workers']} workers, seed {result['seed']}: "
        f"{result['trials']} trials in {result['seconds']:.0f} s",
        f"faults: {faults}",
        f"trials: {_counts(result['states'])}; takeovers {result['takeovers']}, leases lost "
        f"{result['leases_lost']}; attempts {_counts(result['attempts'])}",
        f"workers started {result['workers_started']}, ended {_counts(result['exits'])}; the "
        f"slowest left after {result['slowest_leave_seconds']} s",
        "",
    ]
    for check in result["checks"]:
        mark = "BROKEN" if check["broken"] else "ok"
        lines.append(f"{mark:7}{check['count']:6d}  {check['what']}")
        lines += [f"           {line}" for line in check["broken"][:20]]
    return "\n".join(lines)


def _counts(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{key}: {count}" for key, count in counts.items()) or "none"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=6, help="workers at any time (6)")
    parser.add_argument("--faults", type=int, default=60, help="faults in all (60)")
    parser.add_argument("--trials", type=int, default=60, help="the study's budget (60)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and the study (0)")
    parser.add_argument("--fuse", type=int, default=1, help="trials at once in a worker (1)")
    parser.add_argument("--storage", choices=("postgresql", "sqlite"), default="postgresql")
    modes = ("session", "transaction")
    parser.add_argument("--pool", choices=modes, help="a pgbouncer before PostgreSQL, of this mode")
    parser.add_argument(
        "--defaults",
        action="store_true",
        help=f"lease and checkpoint interval of a study that names none ({DEFAULT.lease:.0f} s, "
        f"{DEFAULT.every:.0f} s) in place of {QUICK.lease:.0f} s and {QUICK.every} s",
    )
    parser.add_argument("--only", help=f"some kinds, by comma, of {', '.join(FAULTS)}")
    parser.add_argument("--keep", help="copy the workers' logs into this folder")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()
    for name, least in (("workers", 2), ("faults", 0), ("trials", 4), ("fuse", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} {getattr(options, name)}: at least {least} is needed")
    options.only = options.only.split(",") if options.only else list(FAULTS)
    if unknown := sorted(set(options.only) - set(FAULTS)):
        parser.error(f"--only {','.join(unknown)}: {', '.join(FAULTS)} are there")
    return options


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that server and disk are taken down
    result = measure(options)
    print(json.dumps(result, indent=2) if options.json else table(result))
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
