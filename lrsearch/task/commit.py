"""The git commit that a study's code is at, for its provenance."""

import os
import subprocess
from pathlib import Path

#: Its name among the versions of a study.
COMMIT = "commit"
#: git answers in 10 ms; from a network folder it may not.
GIT_SECONDS = 5.0


def commit_of(folder: Path) -> str | None:
    """`HEAD` of the repository that holds the folder; None without git, or outside a repository.

    `, with changes` follows where tracked files below the folder differ from it.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{commit}, with changes" if changes else commit


def _git(folder: Path, *words: str) -> str | None:
    """What it prints, without the line's end; None where it fails."""
    try:
        ended = subprocess.run(
            ["git", *words],
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # it changes nothing in the repository
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
