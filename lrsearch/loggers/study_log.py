"""What a worker trains, in all trackers of its study."""

import logging
import time
from collections.abc import Callable, Sequence

from lrsearch.loggers.copying import Copier, Copy
from lrsearch.loggers.installed import check_trackers
from lrsearch.storage.leases import Claim
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.curve import Validation

log = logging.getLogger("lrsearch")


class StudyLog:
    """The runs of one worker. A study without `log` costs nothing."""

    def __init__(self, study: StoredStudy) -> None:
        """Raises SpecError in one line where a tracker's package or login is missing here."""
        check_trackers(study.spec.log)
        self._copiers = [Copier(study, name) for name in study.spec.log.trackers]
        self._curves: dict[Claim, Callable[[], Sequence[Validation]]] = {}

    def begin(
        self, claim: Claim, name: str, curve: Callable[[], Sequence[Validation]] | None = None
    ) -> None:
        """Log a trial or confirmation run from now on, `name` being what messages call it.

        `curve` gives all validations of a run whose curve the database does not hold.
        """
        if self._copiers and curve is not None:
            self._curves[claim] = curve
        for copier in self._copiers:
            copier.begin(Copy(claim, name, curve or tuple, time.time()))

    def finish(self, claim: Claim) -> None:
        """It has ended as the database says, or is left to other workers."""
        give = self._curves.pop(claim, None)
        try:
            curve = () if give is None else give()
        except OSError as error:
            log.warning("the curve of a confirmation run is not logged: %s", error)
            curve = ()
        for copier in self._copiers:
            copier.finish(claim, curve)

    def close(self) -> None:
        """Send what is left; it waits for a tracker that does not answer, but not for long."""
        for copier in self._copiers:
            copier.hurry()
        for copier in self._copiers:
            copier.close()
