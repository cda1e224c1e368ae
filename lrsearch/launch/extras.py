"""Whether the packages and programs of a target are here."""

from importlib.util import find_spec

from lrsearch.errors import StudyError


def require(module: str, extra: str, wanted_by: str) -> None:
    """Raises StudyError that names the extra where a package is not installed."""
    if find_spec(module) is None:
        raise StudyError(
            f"{wanted_by} needs the package {module}; install it with "
            f"pip install 'lrsearch[{extra}]'"
        )
