"""The study files that come with lrsearch, by name; and where a study's files are looked for."""

from collections.abc import Iterator
from pathlib import Path

from lrsearch.errors import SpecError, near_miss

#: Beside this module; in a checkout a link to `studies/`, in an installation the files themselves.
SHIPPED = Path(__file__).parent / "studies"


def names() -> list[str]:
    """The names of the shipped studies, such as `digits`."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def named(word: str) -> Path:
    """What a word on the command line means: a file that is there, or the shipped study so called.

    A word that is neither stays the path that it is.
    """
    path = Path(word)
    return SHIPPED / f"{word}.yaml" if word in names() and not path.is_file() else path


def check_there(path: Path) -> None:
    """Raises SpecError for a path that is no file and looks like a name: with the shipped names.

    Of any other path whoever reads it says what is wrong.
    """
    if path.is_file():
        return
    for ending in (".yaml", ".yml"):
        beside = path.with_name(path.name + ending) if path.name else path
        if beside.is_file():
            raise SpecError(f"{path}: no such study file; write {beside}")
    if path.is_dir():
        needed = f"a study FILE is needed, such as {path}/study.yaml"
        raise SpecError(f"{path} is a folder, but {needed}")
    if path.name == str(path) and not path.suffix:
        known = near_miss(path.name, names())
        raise SpecError(f"{path}: neither a study file nor a study that comes with lrsearch{known}")


def folders(named: Path | None = None) -> Iterator[Path]:
    """Where the files of a recorded study may lie, in the order in which they are looked at."""
    if named is not None:
        yield named
    yield from (Path(), Path("studies"), SHIPPED)
