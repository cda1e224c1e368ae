"""The last that the fork server of tests/command.py imports. What is imported by then is no
garbage: a process forked from it need not look for any in there, which took 0.3 s at its end."""

import gc
import os
from pathlib import Path

gc.collect()
gc.freeze()
# What is forked has the path of the test that started it; the processes it starts have no test's.
paths = os.environ["PYTHONPATH"].split(os.pathsep)
paths.remove(str(Path(__file__).parent))
if paths:
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
else:
    del os.environ["PYTHONPATH"]
