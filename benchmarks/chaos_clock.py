"""A clock that a process can set wrong for itself. Import it before anything that tells the time:
it stands in for `time.time`, `time.time_ns` and `datetime`'s `now`, `utcnow` and `today`."""

import datetime
import os
import time
from typing import Any

_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime
_ahead = 0


class _Meta(type):
    """Whatever is a datetime is one of the stand-in too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _datetime)


class _Shifted(datetime.datetime, metaclass=_Meta):
    __slots__ = ()  # compiled modules check the size

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _datetime.now(tz) + datetime.timedelta(seconds=_ahead)

    @classmethod
    def utcnow(cls) -> Any:
        return _datetime.utcnow() + datetime.timedelta(seconds=_ahead)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


def stand_in() -> None:
    """Put the clock in place; it is right until `set_wrong`."""
    time.time = lambda: _time() + _ahead
    time.time_ns = lambda: _time_ns() + _ahead * 10**9
    datetime.datetime = _Shifted  # type: ignore[misc]


def set_wrong(seconds: int, zone: str) -> None:
    """Let this process's clock be so many seconds ahead, in this time zone; libpq's zone too."""
    global _ahead
    _ahead = seconds
    os.environ["TZ"] = os.environ["PGTZ"] = zone
    time.tzset()


stand_in()
