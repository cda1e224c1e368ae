"""Folders of the trials that scripts train: their output, and what they write themselves."""

from pathlib import Path

#: In the current folder of the worker, so that another worker that shares it goes on there.
FOLDER = "lrsearch-trials"
#: What a trial's process prints, one attempt after the other.
OUTPUT = "output.log"


def study_folder(study: str) -> Path:
    return Path(FOLDER) / study


def trial_folder(study: str, name: str) -> Path:
    """Of a trial (`trial-3`) or another run of the study."""
    return study_folder(study) / name
