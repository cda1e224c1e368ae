"""A process of this machine that keeps a worker running beyond its time limit.

`python -m lrsearch.launch.local_keeper WORDS` runs `lrsearch WORDS`, again after each time limit,
until the study is finished. At SIGTERM the worker ends in order, and this process with it.
"""

import os
import signal
import subprocess
import sys

from lrsearch.launch.successors import Successors
from lrsearch.worker.forks import PARENT


def main() -> None:
    """Raises SystemExit with 1 and a line on stderr where the last worker failed."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "lrsearch", *sys.argv[1:]],
            # A worker whose keeper was killed ends in order.
            env={**os.environ, PARENT: str(os.getpid())},
        )

    workers = Successors(start)
    signal.signal(signal.SIGTERM, lambda number, frame: workers.stop())
    if trouble := workers.wait():
        sys.exit(f"lrsearch: {trouble}")


if __name__ == "__main__":
    main()
