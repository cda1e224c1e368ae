"""What times are told in on an axis."""

#: Names by the seconds of one, the longest first; a time of two or more is told in it.
UNITS = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


def unit_of(seconds: float) -> str:
    """The name of the unit that suits an axis of so many seconds."""
    return next((name for name, one in UNITS.items() if seconds >= 2 * one), "seconds")
