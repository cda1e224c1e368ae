"""The PostgreSQL of chaos.py: a server that fails over to a replica which lacks the last commits,
whose clock can be set back, and a pooler and proxies between it and its clients."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from failover import Replica
from pooler import Pooler
from postgres import ORDINARY_USER, Server
from proxy import Proxy

#: What a program's clock says in place of the kernel's: so many seconds less as a file holds.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *path;
static int (*real)(struct timeval *, void *);

__attribute__((constructor)) static void find(void) {
    path = getenv("CHAOS_CLOCK");
    real = dlsym(RTLD_NEXT, "gettimeofday");
}
static long back(void) { /* nothing here may not be called in a signal handler */
    char text[24] = {0};
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return 0;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    return size > 0 ? atol(text) : 0;
}
int gettimeofday(struct timeval *now, void *zone) {
    if (!real) find();
    int code = real(now, zone);
    now->tv_sec -= back();
    return code;
}
time_t time(time_t *out) {
    struct timeval now;
    gettimeofday(&now, NULL);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


class Clock:
    """A clock that a server's processes look at, whoever has set it back."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError or CalledProcessError where there is no C compiler."""
        folder.mkdir()
        self._file, self._library = folder / "back", folder / "clock.so"
        (folder / "clock.c").write_text(CLOCK)
        build = ["cc", "-shared", "-fPIC", "-o", str(self._library), str(folder / "clock.c")]
        subprocess.run([*build, "-ldl"], check=True, capture_output=True)
        self.set_back(0)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._file)}

    def set_back(self, seconds: int) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(self._file)


class Cluster:
    """The server that takes writes, whichever it is, at ports that do not change.

    Clients go through `proxy`, a pooler if there is one, and `inner`; whoever looks at the study
    goes through `inner` alone.
    """

    def __init__(self, folder: Path, pool: str | None, *, on_disk: bool) -> None:
        self.folder, self.on_disk = folder, on_disk
        self._stack = ExitStack()
        self._tables = self.set_back = 0
        try:
            self.clock: Clock | None = Clock(folder / "clock")
        except (OSError, subprocess.CalledProcessError):
            self.clock = None
        settings = {} if self.clock is None else {"environment": self.clock.environment}
        self.settings = {"synchronous_commit": "on", **settings}
        # What was committed outlives the server's processes, in the operating system's cache.
        self.server: Any = Server(**self.settings)
        self._replica: Any = None
        self.server.start()
        self.inner = self._closing(Proxy(self.server.port))
        self.pooler: Any = None
        if pool is not None:
            self.pooler = self._closing(Pooler(self.inner.port, self.server.password, pool))
            self.pooler.start()
        self.proxy = self._closing(Proxy(self.inner.port if pool is None else self.pooler.port))

    def _closing(self, thing: Any) -> Any:
        self._stack.callback(thing.close)
        return thing

    def close(self) -> None:
        self._stack.close()
        for server in (self._replica, self.server):
            if server is not None:
                server.stop()

    def new_folder(self) -> Path:
        """An empty one for tables, on the small disk if there is one."""
        self._tables += 1
        folder = self.folder / ("small" if self.on_disk else "") / f"tables-{self._tables}"
        folder.mkdir(mode=0o700)
        if os.getuid() == 0:
            os.chown(folder, ORDINARY_USER, ORDINARY_USER)
        return folder

    def create(self, name: str) -> tuple[str, str]:
        """A database; its URL for clients, and that past all faults."""
        self._place = self.new_folder()
        self.server.execute(f"CREATE TABLESPACE small LOCATION '{self._place}'")
        self.server.execute(f"CREATE DATABASE {name} TABLESPACE small")
        return (
            self.server.url(name, port=self.proxy.port),
            self.server.url(name, port=self.inner.port),
        )

    def begin_failover(self, silent: float) -> None:
        """Kill the server, whose last so many seconds have not reached its replica."""
        stream, new = Proxy(self.server.port), self.new_folder()
        self._replica = Replica(self.server, stream.port, moved={self._place: new}, **self.settings)
        self._replica.start()
        self._place, old = new, self._place
        [(position,)] = self.server.execute("SELECT pg_current_wal_flush_lsn()")
        behind = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        deadline = time.monotonic() + 20
        while self._replica.execute(behind, position) != [(True,)]:
            assert time.monotonic() < deadline, "the replica does not follow"
            time.sleep(0.05)
        stream.silence()
        time.sleep(silent)
        self.inner.refuse()
        self.server.kill()
        stream.close()
        self.server.stop()
        shutil.rmtree(old)

    def end_failover(self) -> None:
        """Let the replica take over."""
        self.server, self._replica = self._replica, None
        self.server.promote()
        self.inner.move(self.server.port)
        self.inner.resume()

    def set_clock_back(self, seconds: int) -> None:
        """By so many more seconds, for good."""
        assert self.clock is not None
        self.set_back += seconds
        self.clock.set_back(self.set_back)

    def set_read_only(self, on: bool) -> None:
        """Whether transactions may write; when they may not, the sessions that there are end."""
        how = "SET default_transaction_read_only = on"
        self.server.execute(f"ALTER SYSTEM {how if on else 'RESET default_transaction_read_only'}")
        self.server.execute("SELECT pg_reload_conf()")
        if on:
            self.server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname <> 'postgres' AND backend_type = 'client backend'"
            )


@contextmanager
def cluster(folder: Path, pool: str | None, *, on_disk: bool) -> Iterator[Cluster]:
    """A cluster of one's own; nothing of it stays."""
    found = Cluster(folder, pool, on_disk=on_disk)
    try:
        yield found
    finally:
        found.close()
