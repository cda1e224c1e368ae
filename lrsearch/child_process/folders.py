"""Where a trial of a script of the user's own has its files: `./lrsearch-trials/STUDY/trial-N`.

The folder is below the one that the worker runs in, as the script's own relative paths are. It
holds the kept output and whatever the script writes to `{dir}`.
"""

import shutil
from pathlib import Path

#: Below the current folder.
TRIALS = Path("lrsearch-trials")
#: The output of all attempts of a trial, the newest last.
OUTPUT = "output.log"


def study_folder(study: str) -> Path:
    """The folder of a study's trials, absolute."""
    return (TRIALS / study).absolute()


def trial_folder(study: str, number: int) -> Path:
    """The folder of a search trial, by its number, absolute. It need not be there."""
    return study_folder(study) / f"trial-{number}"


def confirmation_folder(study: str, run: int, seed: int) -> Path:
    """The folder of a confirmation run, by its id in the database and its seed, absolute."""
    return study_folder(study) / f"confirm-{run}-{seed}"


def range_test_folder(study: str, optimizer: str) -> Path:
    """The folder of an optimizer's range test, absolute."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in optimizer)
    return study_folder(study) / f"range-test-{name}"


def begin_attempt(folder: Path, attempt: int, worker: str) -> Path:
    """Make the folder ready for an attempt, from 1 on; the file that its output is appended to.

    A first attempt finds its folder empty: one that is there, of an earlier study of this name, is
    set aside as `trial-N.1`, so that no script goes on from files of another trial. A line in the
    output stands between attempts. Raises OSError if the folder cannot be written.
    """
    if attempt == 1 and folder.exists():
        _set_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / OUTPUT
    if attempt > 1:
        starts_anew = not output.exists() or output.stat().st_size == 0
        with output.open("a", encoding="utf-8") as file:
            file.write(f"{'' if starts_anew else chr(10)}--- attempt {attempt}, worker {worker}\n")
    return output


def _set_aside(folder: Path) -> None:
    taken = 1
    while (aside := folder.with_name(f"{folder.name}.{taken}")).exists():
        taken += 1
    folder.rename(aside)


def remove_study(study: str) -> bool:
    """Remove the folder of a study's trials; whether there was one here. Raises OSError."""
    folder = study_folder(study)
    if not folder.is_dir():
        return False
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return True
