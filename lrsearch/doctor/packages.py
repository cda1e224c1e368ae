"""Versions of Python, SQLite and the packages that lrsearch needs, and its optional parts."""

import platform
import re
import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata

from lrsearch.doctor.findings import Finding, note, ok, problem
from lrsearch.version import __version__

#: The first with RETURNING, which the queries use (sqlite.org/lang_returning.html).
OLDEST_SQLITE = (3, 35, 0)
#: The first that the package's metadata allow.
OLDEST_PYTHON = (3, 11)
#: Extras for those who change lrsearch, not for those who use it.
OF_DEVELOPERS = frozenset({"docs", "test", "dev"})
#: Packages whose versions are worth a word where all is well.
SHOWN = ("torch", "optuna", "numpy", "sqlalchemy")


def versions() -> Iterator[Finding]:
    """The interpreter, SQLite, lrsearch, and what it cannot do without."""
    area = "versions"
    python = platform.python_version()
    if sys.version_info[:2] < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        yield problem(area, f"Python {python}", f"install Python {wanted} or newer")
    else:
        yield ok(area, f"Python {python} ({sys.executable})")
    yield ok(area, f"lrsearch {__version__}")
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        advice = f"use a Python with SQLite {wanted} or newer, or a PostgreSQL database"
        yield problem(area, f"SQLite {sqlite3.sqlite_version}", advice)
    else:
        yield ok(area, f"SQLite {sqlite3.sqlite_version}")
    try:
        required = metadata.requires("lrsearch") or []
    except metadata.PackageNotFoundError:
        yield note(
            area, "lrsearch is not installed, it runs from a folder", "pip install it from there"
        )
        return
    needed = dict.fromkeys(text for text in required if "extra ==" not in text)
    yield from (found for text in needed if (found := _requirement(text)) is not None)


def _requirement(text: str) -> Finding | None:
    """What is said of a requirement such as `optuna<5.1,>=5.0`; nothing if it is met."""
    name, wanted = _parsed(text)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return problem("versions", f"{name} is not installed", f"pip install '{name}{wanted}'")
    if not satisfies(version, wanted):
        advice = f"pip install '{name}{wanted}'"
        return problem("versions", f"{name} {version}, but {wanted} is needed", advice)
    return ok("versions", f"{name} {version}") if name.lower() in SHOWN else None


def _parsed(requirement: str) -> tuple[str, str]:
    """The name and the versions of a requirement, without extras and conditions."""
    found = re.match(r"([\w.-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)", requirement)
    assert found is not None, requirement
    return found[1], found[2].strip()


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version is in a range such as `>=5.0,<5.1`, by its numbers."""
    here = _numbers(version)
    for bound in filter(None, (part.strip() for part in wanted.split(","))):
        sign = re.match(r"[<>=!~]+", bound)
        assert sign is not None, wanted
        limit = _numbers(bound[sign.end() :])
        width = max(len(here), len(limit))
        a, b = ((*some, *[0] * (width - len(some))) for some in (here, limit))
        holds = {">=": a >= b, "<": a < b, "<=": a <= b, ">": a > b, "==": a == b, "!=": a != b}
        if not holds.get(sign[0], True):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, found[1].split("."))) if found else ()


def optional_parts() -> Iterator[Finding]:
    """Each extra of the package: installed, or how it is installed."""
    try:
        about = metadata.metadata("lrsearch")
        required = metadata.requires("lrsearch") or []
    except metadata.PackageNotFoundError:
        return
    for extra in about.get_all("Provides-Extra") or ():
        if extra in OF_DEVELOPERS:
            continue
        marked = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
        names = [_parsed(text)[0] for text in required if marked.search(text)]
        missing = [name for name in names if not _is_installed(name)]
        if missing:
            advice = f"pip install 'lrsearch[{extra}]'"
            yield note("optional parts", f"{extra}: without {', '.join(missing)}", advice)
        else:
            yield ok("optional parts", f"{extra}: {', '.join(names)}")


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
