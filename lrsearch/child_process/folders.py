"""Where a trial of a script of the user's own has its files: `./lrsearch-trials/STUDY/trial-N`.

The folder is below the one that the worker runs in, as the script's own relative paths are, so that
another worker that shares it goes on there. It holds the kept output and whatever the script writes
to `{dir}`.
"""

import shutil
from pathlib import Path

from lrsearch.private_files import make_private_file, make_private_folder, private
from lrsearch.study_name import path_part

#: Below the current folder.
FOLDER = "lrsearch-trials"
#: The output of all attempts of a trial, the newest last.
OUTPUT = "output.log"
#: The study file of a command that was given without one.
STUDY_FILE = "study.yaml"


def study_folder(study: str) -> Path:
    """The folder of a study's trials."""
    return Path(FOLDER) / path_part(study)


def trial_folder(study: str, name: str) -> Path:
    """Of a trial (`trial-3`) or another run of the study. It need not be there."""
    return study_folder(study) / name


def search_name(number: int) -> str:
    """What the folder of a search trial is called."""
    return f"trial-{number}"


def confirmation_name(number: int, seed: int) -> str:
    """What the folder of a confirmation run is called, by its trial and its seed."""
    return f"confirm-{number}-seed-{seed}"


def begin_attempt(folder: Path, attempt: int, worker: str, *, goes_on: bool) -> Path:
    """Make the folder ready for an attempt, from 1 on; the file that its output is appended to.

    Unless the attempt goes on from an earlier one, its folder is empty: what is there is set aside
    as `trial-3.1`, so that no script goes on from files of another trial. The output of earlier
    attempts stays, with a line between them. Raises OSError if the folder cannot be written.
    """
    output = folder / OUTPUT
    if not goes_on and folder.exists():
        aside = _set_aside(folder)
        make_private_folder(folder)
        if attempt > 1 and (aside / OUTPUT).exists():
            (aside / OUTPUT).rename(output)
        if not any(aside.iterdir()):
            aside.rmdir()
    make_private_folder(folder)
    if attempt > 1:
        with open(output, "a", encoding="utf-8", opener=private) as file:
            start = "\n" if file.tell() else ""
            file.write(f"{start}--- attempt {attempt}, worker {worker}\n")
    return output


def _set_aside(folder: Path) -> Path:
    taken = 1
    while (aside := folder.with_name(f"{folder.name}.{taken}")).exists():
        taken += 1
    return folder.rename(aside)


def move_study(study: str, new: str) -> None:
    """Move the folders of a study's trials, as far as they are here, below its new name.

    Its successor of the same name numbers its trials anew. Files beside them stay. Raises OSError.
    """
    folder = study_folder(study)
    trials = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    for path in trials:
        make_private_folder(study_folder(new))
        path.rename(study_folder(new) / path.name)
    if trials and not any(folder.iterdir()):
        folder.rmdir()


def remove_study(study: str) -> bool:
    """Remove the folder of a study's trials; whether there was one here. Raises OSError."""
    folder = study_folder(study)
    if not folder.is_dir():
        return False
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return True


def keep_study_file(study: str, text: str) -> Path:
    """Write a study file where workers that share the current folder find it; its path."""
    path = study_folder(study) / STUDY_FILE
    make_private_folder(path.parent)
    written = path.with_suffix(".new")
    make_private_file(written)
    written.write_text(text, encoding="utf-8")
    written.replace(path)  # a worker that looks meanwhile finds the one or the other
    return path
