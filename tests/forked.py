"""The last that the fork server of tests/command.py imports. What is imported by then is no
garbage: a process forked from it need not look for any in there, which took 0.3 s at its end."""

import gc
import importlib
import os
import pkgutil
from pathlib import Path

import lrsearch

#: Need another library, or are no modules to import.
_APART = ("lrsearch.__main__", "lrsearch.hydra", "lrsearch.lightning", "lrsearch.transformers")
for module in pkgutil.walk_packages(lrsearch.__path__, "lrsearch."):
    if not module.name.startswith((*_APART, "lrsearch.storage.migrations")):
        importlib.import_module(module.name)

gc.collect()
gc.freeze()
# What is forked has the path of the test that started it; the processes it starts have no test's.
paths = os.environ["PYTHONPATH"].split(os.pathsep)
paths.remove(str(Path(__file__).parent))
if paths:
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
else:
    del os.environ["PYTHONPATH"]
