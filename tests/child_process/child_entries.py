"""What children of the tests run. `python child_entries.py NAME ARGUMENTS` calls a function; forks
call it by its name. Each writes the files that a test waits for."""

import atexit
import hashlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

IMPORTED_BY = os.getpid()
kept = None


def say(name, text):
    """Write a file whole: a test that finds it can read it."""
    Path(f"{name}.part").write_text(str(text))
    Path(f"{name}.part").replace(name)


def sleep(argv):
    say(argv[0], os.getpid())
    time.sleep(1000)


def deaf(argv):
    """Ignores what asks it to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(argv)


def tidy(argv):
    """Ends itself in order."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    sleep(argv)


def parent_of(argv):
    """Starts another, argv[1], in its own process group, and sleeps."""
    subprocess.Popen([sys.executable, __file__, argv[1], f"{argv[0]}-below"])
    sleep(argv)


def daemon_of(argv):
    """Starts a daemon, argv[1], as daemons are: two forks and a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            globals()[argv[1]]([f"{argv[0]}-below"])
        os._exit(0)
    os.wait()
    if argv[-1] == "and_end":
        return 0
    return sleep(argv)


def hopping(argv):
    """Forks and ends, over and over: a process that is never long the same."""
    say(argv[0], os.getpid())
    os.setsid()
    while True:
        if os.fork():
            os._exit(0)
        time.sleep(0.002)


def what_i_am(argv):
    """Everything that a process has from its parent."""
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    say(
        argv[0],
        json.dumps(
            {
                "pid": os.getpid(),
                "session": os.getsid(0),
                "group": os.getpgid(0),
                "folder": str(Path.cwd()),
                "environment": dict(os.environ),
                "masks": {name: int(fields[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")},
                "descriptors": sorted(path.name for path in Path("/proc/self/fd").iterdir()),
                "stdin": sys.stdin.read(),
                "argv": argv,
            }
        ),
    )


def leaves_things_open(argv):
    """Relies on an interpreter that ends in order."""
    script = sys.modules["__main__"]  # so that only the end of the interpreter closes it
    script.kept = io.TextIOWrapper(io.FileIO("unclosed", "w"))
    script.kept.write("written")
    atexit.register(say, "atexit", "ran")
    print("printed", end="")


def fails(argv):
    raise ValueError(f"no {argv[0]}")


def leaves(argv):
    sys.exit("it is over")


def dies(argv):
    os.kill(os.getpid(), signal.SIGSEGV)


def prints_and_dies(argv):
    print("a line")
    print("half a", end="")
    os.kill(os.getpid(), signal.SIGKILL)


def interrupts_itself(argv):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt:
        return 7


def draws(argv):
    import random

    import numpy

    say(argv[0], json.dumps([random.random(), numpy.random.rand()]))


def keeps(argv):
    """Whose import of this module it uses, and what other children have left in it."""
    global kept
    before, kept = kept, argv[0]
    say(argv[0], json.dumps([IMPORTED_BY, os.getpid(), before]))


def environment_in_c(argv):
    """What programs and C libraries see."""
    printed = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    say(argv[0], printed)


def runs_elsewhere(argv):
    """In a process that multiprocessing spawns, which imports what the parent had as __main__."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        say(argv[0], pool.apply(os.getpid) != os.getpid())


def trains(argv):
    """A few steps on two threads, data from two processes: what forks are said to break."""
    import numpy
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(2)
    torch.manual_seed(int(argv[1]))
    numpy.linalg.svd(numpy.random.default_rng(0).normal(size=(300, 300)))
    model = torch.nn.Sequential(torch.nn.Linear(200, 300), torch.nn.ReLU(), torch.nn.Linear(300, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = TensorDataset(torch.randn(600, 200), torch.randn(600, 1))
    for x, y in DataLoader(data, batch_size=100, shuffle=True, num_workers=2):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    say(argv[0], hashlib.sha256(weights).hexdigest())


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](sys.argv[2:]))
