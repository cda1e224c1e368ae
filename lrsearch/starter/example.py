"""The example that `lrsearch init` writes without a script: it runs as it is."""

from collections.abc import Mapping
from pathlib import Path

from lrsearch.starter.new_files import study_name, template


def example(study: Path, *, command: bool) -> Mapping[Path, str]:
    """The files of an example with this study file: a task, or a `command` and its script."""
    name = study_name(study.absolute().parent.name)
    kind, code = ("command.yaml", "train.py") if command else ("study.yaml", "task.py")
    beside = study.with_name(code)
    # A command runs in the folder of whoever starts it, a task lies beside its study file.
    words = {"NAME": name, "STUDY": str(study), "TASK": code, "SCRIPT": str(beside)}
    return {study: template(kind, words), beside: template(code, {})}
