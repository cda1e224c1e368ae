"""Which versions of lrsearch may work on a study together."""

import logging
import re
from collections.abc import Mapping
from importlib.metadata import version

from lrsearch.errors import StudyError
from lrsearch.version import __version__

log = logging.getLogger("lrsearch")


def check_versions(study: str, made_by: Mapping[str, str], here: str = __version__) -> None:
    """Raises StudyError unless the lrsearch that made the study differs by a patch at most.

    Another torch may give other values: that is logged.
    """
    theirs = str(made_by.get("lrsearch") if isinstance(made_by, Mapping) else None)
    made, mine = _series(theirs), _series(here)
    assert mine is not None
    if made is None:
        raise StudyError(f"study {study!r} does not say which lrsearch made it; create it anew")
    if made != mine:
        older = f"install lrsearch {made[0]}.{made[1]} here, or create the study anew"
        what = "update lrsearch on this machine" if made > mine else older
        raise StudyError(f"study {study!r} was made by lrsearch {theirs}, this is {here}: {what}")
    torch, torch_here = made_by.get("torch"), version("torch")
    if torch != torch_here:
        log.warning("study %s was made with torch %s, here is %s", study, torch, torch_here)


def _series(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d{1,6})\.(\d{1,6})(\.|$)", text)
    return None if found is None else (int(found[1]), int(found[2]))
