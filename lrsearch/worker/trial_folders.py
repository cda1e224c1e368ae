"""Folders of the trials that scripts train: their output, and what they write themselves."""

from lrsearch.child_process.folders import FOLDER, OUTPUT, study_folder, trial_folder

__all__ = ["FOLDER", "OUTPUT", "study_folder", "trial_folder"]
