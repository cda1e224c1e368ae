"""The last that the fork server of tests/command.py imports. What is imported by then is no
garbage: a process forked from it need not look for any in there, which took 0.3 s at its end."""

import gc
import importlib
import os
import tempfile
import weakref
from multiprocessing import forkserver
from pathlib import Path

import revisions
import statements

import lrsearch
from lrsearch import run_study  # noqa: F401
from lrsearch.study.prepare_database import open_database

# What is not in a package needs another library, alembic alone runs what migrates, and a loop of
# the user's own, in that of an adapter too, reads its arguments as it is imported.
_APART = {"lightning", "migrations", "own_loop", "transformers"}
# Few commands need these libraries (MLflow, W&B, matplotlib, Hydra), which are a sixth of the
# memory whose tables each fork copies.
_APART |= {"mlflow", "wandb", "plots", "hydra"}
#: The picture of a chart that no test looks at.
BLANK = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>'
_ROOT = Path(lrsearch.__file__).parent
for path in sorted(_ROOT.glob("*/**/*.py")):
    parts = path.relative_to(_ROOT.parent).with_suffix("").parts
    if not _APART & {*parts}:
        importlib.import_module(".".join(parts).removesuffix(".__init__"))

# At its end a process would take apart torch's 180 libraries of operators, for half of the time
# that a short command takes.
for finalizer, told in list(weakref.finalize._registry.items()):
    if told.func.__module__ == "torch.library":
        finalizer.atexit = False
# A command that makes a database finds the revisions read, and their statements compiled.
revisions.read_once()
statements.compile_once()
with tempfile.TemporaryDirectory() as folder:
    open_database(f"sqlite:///{folder}/study.db", create=True).close()
# What Vega draws is looked at by tests/report and tests/browser, and drawn by commands in new
# interpreters. It takes a fifth of the processor time of a short study, and in each process a
# second before the first chart.
lrsearch.report.page.renderers.render = lambda specification: BLANK
gc.collect()
gc.freeze()
# What is forked may fork from this server too.
forkserver._forkserver.ensure_running = lambda: None
# What is forked has the path of the test that started it; the processes it starts have no test's.
paths = os.environ["PYTHONPATH"].split(os.pathsep)
paths.remove(str(Path(__file__).parent))
if paths:
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
else:
    del os.environ["PYTHONPATH"]
