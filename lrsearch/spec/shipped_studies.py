"""The study files that come with lrsearch, by name; and where a study's files are looked for."""

from collections.abc import Iterator
from pathlib import Path

from lrsearch.errors import SpecError, near_miss

#: Beside this module; in a checkout a link to `studies/`, in an installation the files themselves.
SHIPPED = Path(__file__).parent / "studies"


def names() -> list[str]:
    """The names of the shipped studies, such as `digits`."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find(word: str) -> Path:
    """The study file that a word on the command line means.

    A file that is there wins; then a shipped study of this name. Raises SpecError for a word that
    is neither: a name without folder or ending gets the shipped names, a path the plain reason.
    """
    path = Path(word)
    if path.is_file():
        return path
    if word in names():
        return SHIPPED / f"{word}.yaml"
    for ending in (".yaml", ".yml"):
        beside = path.with_name(path.name + ending) if path.name else path
        if beside.is_file():
            raise SpecError(f"{word}: no such study file; write {beside}")
    if path.is_dir():
        needed = f"a study FILE is needed, such as {path}/study.yaml"
        raise SpecError(f"{word} is a folder, but {needed}")
    if path.name != word or path.suffix:
        return path  # whoever reads it says what is wrong with it
    known = near_miss(word, names())
    raise SpecError(f"{word}: neither a study file nor a study that comes with lrsearch{known}")


def folders(named: Path | None = None) -> Iterator[Path]:
    """Where the files of a recorded study may lie, in the order in which they are looked at."""
    if named is not None:
        yield named
    yield from (Path(), Path("studies"), SHIPPED)
