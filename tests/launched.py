"""A script in processes of its own, and a worker that is a thread of this one."""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field

from fake_worker import RECIPE
from processes import PATIENCE_SECONDS

from lrsearch.child_process.lines import ClosedError
from lrsearch.own_loop.channel import SOCKET, Listener
from lrsearch.own_loop.messages import Boundary, End, GoOn, Report, Start
from lrsearch.task.code import ENVIRONMENT_DIR

CHILD = ("-m", "lrsearch.own_loop.child")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@dataclass
class Launched:
    """How the processes ended."""

    status: int
    out: str
    err: str
    #: What the worker was told.
    said: list = field(default_factory=list)

    def of(self, kind):
        return [message for message in self.said if isinstance(message, kind)]

    def lines(self, beginning):
        """Those of the output, sorted: of several ranks any may be first."""
        return sorted(line for line in self.out.splitlines() if line.startswith(beginning))


def launch(folder, script, *, arguments=CHILD, answer=lambda message: GoOn(), **changes):
    """Run the text as `train.py` by Python with these arguments, for a worker that answers so."""
    (folder / "train.py").write_text(script)
    said = []
    fields = {"kind": "search", "recipe": RECIPE, "device": "cpu", "folder": str(folder)}
    start = Start(**{**fields, **changes})

    def serve(listener):
        channel = listener.accept(PATIENCE_SECONDS)
        if channel is None:
            return
        channel.receive(PATIENCE_SECONDS)
        channel.send(start)
        try:
            while True:
                said.append(channel.receive())
                if isinstance(said[-1], Report | Boundary):
                    channel.send(answer(said[-1]))
        except ClosedError:
            channel.close()

    with Listener() as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        ended = subprocess.run(
            [sys.executable, *arguments, "train.py"],
            env={
                **os.environ,
                SOCKET: listener.path,
                ENVIRONMENT_DIR: str(folder),
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            cwd=folder,
        )
        thread.join()
    return Launched(ended.returncode, ended.stdout, ended.stderr, said)


def pruned_at(step):
    """An answer that ends the run at the report of this step."""

    def answer(message):
        pruned = isinstance(message, Report) and message.step >= step
        return End(reason="pruned") if pruned else GoOn()

    return answer
