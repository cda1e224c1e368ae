"""Which versions of lrsearch may work on a study together."""

import logging
import re
from collections.abc import Mapping
from importlib.metadata import version

from lrsearch import __version__
from lrsearch.errors import StudyError

log = logging.getLogger("lrsearch")


def check_versions(study: str, made_by: Mapping[str, str], here: str = __version__) -> None:
    """Raises StudyError unless the lrsearch that made the study differs by a patch at most.

    Another torch may give other values: that is logged.
    """
    theirs = str(made_by.get("lrsearch") if isinstance(made_by, Mapping) else None)
    if _series(theirs) is None:
        raise StudyError(f"study {study!r} does not say which lrsearch made it; create it anew")
    if (mine := _series(here)) != _series(theirs):
        assert mine is not None
        newer = _series(theirs) > mine
        what = (
            "update lrsearch on this machine"
            if newer
            else f"install lrsearch {'.'.join(theirs.split('.')[:2])} here, or create it anew"
        )
        raise StudyError(f"study {study!r} was made by lrsearch {theirs}, this is {here}: {what}")
    torchs = made_by.get("torch"), version("torch")
    if torchs[0] != torchs[1]:
        log.warning(
            "study %s was made with torch %s, this is %s; values may differ", study, *torchs
        )


def _series(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d{1,6})\.(\d{1,6})(\.|$)", text)
    return None if found is None else (int(found[1]), int(found[2]))
