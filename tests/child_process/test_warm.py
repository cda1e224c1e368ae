"""Which modules a script wants warm, and that they can be forked."""

import os
from importlib.util import find_spec

import pytest
from processes import PATIENCE_SECONDS

from lrsearch.child_process.supervisor import Supervisor
from lrsearch.child_process.warm import FIRST_USES, LIBRARIES, warm_modules

SCRIPT = """
import argparse, numpy as np, torchvision.transforms
from transformers import Trainer, AutoTokenizer as Words
from torch import nn
from torch.utils.data import *
from .near import sklearn
from my_package import torch
import pandas
import requests
try:
    import timm
except ImportError:
    import datasets
if __name__ == "__main__":
    import accelerate

def main():
    import lightning
"""


def test_libraries_that_a_script_imports_at_its_top_are_warm(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    assert warm_modules(script) == [
        *FIRST_USES,
        *("numpy", "torchvision.transforms", "transformers:Trainer", "transformers:AutoTokenizer"),
        *("torch:nn", "torch.utils.data", "pandas", "timm", "accelerate"),
    ]


def test_a_module_of_the_users_own_is_not_taken_for_a_library(tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("import datasets, timm, numpy, pandas")
    (tmp_path / "datasets.py").touch()
    (tmp_path / "timm").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pandas.py").touch()
    monkeypatch.chdir(elsewhere)
    assert warm_modules(script) == [*FIRST_USES, "numpy"]


@pytest.mark.parametrize("text", [b"def broken(:", b"\x00", b"\xff\xfe"])
def test_what_is_no_python_fails_when_it_is_run(tmp_path, text):
    (tmp_path / "train.py").write_bytes(text)
    assert warm_modules(tmp_path / "train.py") == list(FIRST_USES)


def test_a_script_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.py"):
        warm_modules(tmp_path / "train.py")


def test_every_library_that_is_installed_can_be_forked(tmp_path):
    # CI has timm for its optimizers and schedulers, but not the torchvision that timm imports.
    absent = {"timm"} if find_spec("torchvision") is None else set()
    known = sorted(set(LIBRARIES) - absent)
    names = [*FIRST_USES, *known, "transformers:Trainer", "accelerate:Accelerator"]
    with Supervisor(warm=names) as supervisor:
        child = supervisor.fork(
            "builtins:len", [], env=os.environ, cwd=tmp_path, output=tmp_path / "output"
        )
        assert child.cold is None
        assert child.wait(PATIENCE_SECONDS) == 0
