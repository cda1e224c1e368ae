"""Commands that only read load nothing heavy: each loads what stands here at most."""

import json
import os
import subprocess
import sys

import pytest

#: The command line in a fresh interpreter; the modules that it has loaded at its end go to a file.
RUNNER = """
import json, sys
from pathlib import Path
from lrsearch.cli import main
_, file, *words = sys.argv
sys.argv = ["lrsearch", *words]
try:
    main()
finally:
    Path(file).write_text(json.dumps(sorted(sys.modules)))
"""

#: Seconds of CPU each, and megabytes.
HEAVY = ("torch", "scipy", "optuna", "matplotlib", "numpy", "sklearn")
READING = (*HEAVY, "alembic", "rich", "jinja2")
HELP = (*READING, "sqlalchemy", "pydantic", "yaml")

#: What a command must not load.
FORBIDDEN = {
    "--help": HELP,
    "--version": HELP,
    "run --help": HELP,
    "study --help": HELP,
    "init --out other.yaml": HELP,
    "doctor": HEAVY,
    "study list": READING,
    "study list --json": READING,
    "study show tiny": READING,
    "study show tiny --json": READING,
    "study trials tiny": READING,
    "study trials tiny --json": READING,
    "study curves tiny --csv": READING,
    "study pause tiny": READING,
    "study resume tiny": READING,
    "status tiny --all": READING,
    "trial show tiny 0": READING,
    "trial add tiny --like 0": READING,
    "db check": READING,
    "export tiny": HEAVY,
    "export tiny --format json": HEAVY,
    "export tiny --format torch": HEAVY,
    "report tiny": ("torch", "scipy", "optuna", "sklearn", "alembic", "rich"),
}


@pytest.mark.parametrize("words", FORBIDDEN)
def test_a_command_loads_only_what_it_needs(words, finished, tmp_path):
    file = tmp_path / "modules.json"
    ended = subprocess.run(
        [sys.executable, "-c", RUNNER, file, *words.split()],
        cwd=finished,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    loaded = set(json.loads(file.read_text()))
    assert "click" in loaded
    assert not loaded & set(FORBIDDEN[words])
