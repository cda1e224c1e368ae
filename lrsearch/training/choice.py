"""Which engine a worker trains with and how many trials at once, decided from measured times."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An engine and its places. `size` is 1 for `solo`, at least 2 for `fused`."""

    engine: Literal["solo", "fused"]
    size: int
    #: Why, in words for people; on one line.
    reason: str
    #: What it took to find out, in seconds.
    probe_seconds: float = 0.0
    calibration_seconds: float = 0.0
    #: Seconds per trial-step by the number of trials at once; 1 is the solo engine.
    timings: Mapping[int, float] = field(default_factory=dict)
    precision: str = "fp32"
    #: Name of the hardware, not its number on a machine.
    device: str = ""

    @property
    def line(self) -> str:
        """One line for the log."""
        if self.engine == "solo":
            return f'fuse=off engine=solo reason="{self.reason}"'
        return f"fuse=on engine=fused K={self.size} {self.reason}"
