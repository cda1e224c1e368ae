"""Runs the commands of same_bits.py, with the Python of one side: a line of JSON each on stdin, the
exit code on stdout. They are forked from this process, which has imported what takes 3 s to import;
nothing of lrsearch, which each command imports anew."""

import importlib
import json
import os
import runpy
import signal
import sys

PRELOAD = ("torch._dynamo", "optuna", "sqlalchemy", "alembic", "pydantic", "sklearn.datasets")


def be_lrsearch(words: list[str], output: list[str], environment: dict[str, str]) -> None:
    """`python -m lrsearch WORDS`, its stdout and stderr in these files."""
    for number, path in enumerate(output, start=1):
        with open(path, "wb") as file:  # noqa: PTH123 - pathlib has no more to say
            os.dup2(file.fileno(), number)
    os.environ.update(environment)
    sys.argv = ["lrsearch", *words]
    sys.path.insert(0, "")
    runpy.run_module("lrsearch", run_name="__main__", alter_sys=True)


def main() -> None:
    for name in PRELOAD:
        importlib.import_module(name)
    print(json.dumps(sys.modules["torch"].__version__), flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            be_lrsearch(**json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
