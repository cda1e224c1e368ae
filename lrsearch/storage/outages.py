"""How long one waits for a database that is in trouble, and what is said meanwhile."""

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from lrsearch.storage.moments import Trouble, complaint, trouble_of

log = logging.getLogger("lrsearch")

#: A database may be gone for so long before a worker gives up.
WINDOW_SECONDS = 600.0
#: Longest pause between two attempts; each is drawn at random below a limit that doubles.
LONGEST_PAUSE = 5.0
#: What a failed attempt counts at most: 90 s without an answer, and the pause. A process that was
#: stopped for an hour meanwhile has not waited for an hour.
LONGEST_ATTEMPT = 100.0
#: How often it is said that one still waits.
TELL_SECONDS = 60.0
#: How often a process that waits looks whether to give up.
LOOK_SECONDS = 0.2


class Outage:
    """Since when the database does not answer, for all threads: each thing is said once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told = 0.0
        self._kinds: set[Trouble] = set()

    def begin(self, trouble: Trouble, error: BaseException) -> None:
        """Note that an attempt failed; say so at first, and then every minute."""
        reason = complaint(error)
        with self._lock:
            now = time.monotonic()
            if self._since is None:
                self._since, self._kinds = now, set()
            if trouble not in self._kinds:  # a server that restarts may be read-only then
                self._kinds.add(trouble)
                self._told = now
                log.warning("the database %s; waiting: %s", trouble.value, reason)
            elif now - self._told >= TELL_SECONDS:
                self._told = now
                minutes = (now - self._since) / 60
                log.warning("waiting for the database since %.0f min: %s", minutes, reason)

    def end(self) -> None:
        """Note that a transaction succeeded; say so if one was waited for."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
            if since is not None:
                log.warning("the database answers again after %.0f s", time.monotonic() - since)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a transaction is repeated while the database is out of reach."""

    #: With 0 the first failure counts; else a full disk is waited for without limit.
    seconds: float
    #: What is waited for.
    kinds: Collection[Trouble] = tuple(Trouble)
    #: Whether the process was asked to end, so that it should not wait any longer.
    give_up: Callable[[], bool] = lambda: False

    def retrying(self, outage: Outage) -> Retrying:
        """Calls a function until it succeeds or time is up; raises its last error."""
        last, waited = time.monotonic(), 0.0

        def told(state: RetryCallState) -> None:
            error = _error(state)
            if (trouble := trouble_of(error)) not in (None, Trouble.BUSY):
                outage.begin(trouble, error)

        def late(state: RetryCallState) -> bool:
            nonlocal last, waited
            now = time.monotonic()
            waited, last = waited + min(now - last, LONGEST_ATTEMPT), now
            if trouble_of(_error(state)) is Trouble.FULL:
                waited = 0.0
            return waited >= self.seconds if self.seconds else True

        return Retrying(
            retry=retry_if_exception(lambda error: trouble_of(error) in self.kinds),
            stop=lambda state: late(state) or self.give_up(),
            wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE),
            sleep=self._sleep,
            before_sleep=told,
            reraise=True,
        )

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.give_up():
            time.sleep(min(left, LOOK_SECONDS))


def _error(state: RetryCallState) -> BaseException:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert error is not None
    return error
