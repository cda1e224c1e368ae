"""Folders of the trials that scripts train: their output, and what they write themselves."""

from pathlib import Path

#: In the current folder of the worker, so that another worker that shares it goes on there.
FOLDER = "lrsearch-trials"
#: What a trial's process prints, one attempt after the other.
OUTPUT = "output.log"
#: The study file of a command that was given without one.
STUDY_FILE = "study.yaml"


def study_folder(study: str) -> Path:
    return Path(FOLDER) / study


def trial_folder(study: str, name: str) -> Path:
    """Of a trial (`trial-3`) or another run of the study."""
    return study_folder(study) / name


def keep_study_file(study: str, text: str) -> Path:
    """Write a study file where workers that share the current folder find it; its path."""
    path = study_folder(study) / STUDY_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(text, encoding="utf-8")
    written.replace(path)  # a worker that looks meanwhile finds the one or the other
    return path
