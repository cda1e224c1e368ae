"""Files that are written once: nothing that is there is ever overwritten."""

import re
from collections.abc import Mapping
from pathlib import Path

from lrsearch.errors import SpecError

FILES = Path(__file__).parent / "files"
#: Names of scripts that do not tell them from others.
UNTELLING = frozenset({"main", "train", "run", "script", "__main__"})


def template(name: str, words: Mapping[str, str]) -> str:
    """A file of `files/` with these words in the place of those in capital letters."""
    text = (FILES / f"{name}.txt").read_text(encoding="utf-8")
    for word, value in words.items():
        text = re.sub(rf"\b{word}\b", lambda _, value=value: value, text)  # type: ignore[misc]
    return text


def study_name(word: str) -> str:
    """A name that a study can have, made from a file's."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-._")
    return plain or "study"


def name_of_script(script: Path) -> str:
    """A study's name after its script, or after the folder of one that is called as any is."""
    folder = script.absolute().parent.name
    return study_name(folder if script.stem in UNTELLING and folder else script.stem)


def write_new(files: Mapping[Path, str]) -> None:
    """Write all of them, or none where one is there already. Raises SpecError."""
    for path in files:
        if path.exists() or path.is_symlink():
            raise SpecError(
                f"{path} is there already, and init overwrites nothing; name another with --out"
            )
        if not path.absolute().parent.is_dir():
            raise SpecError(f"{path}: the folder {path.parent} does not exist; make it first")
    for path, text in files.items():
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise SpecError(f"{path}: cannot write it: {error.strerror}") from error
