"""Whether a trial's steps are compiled, decided from measured times; what `--compile` asks for."""

from dataclasses import dataclass, replace
from typing import Literal

from lrsearch.errors import SpecError
from lrsearch.fusing.choice import LEAST_GAIN, Choice, Workload
from lrsearch.fusing.fuse_option import FuseOption

#: `auto`: a worker measures whether compiled steps pay. `off`: steps are never compiled.
CompileOption = Literal["auto", "off"]
_OFF = "uncompiled"
#: Seconds that compiling is expected to take at most: 20 to 210 for the models of
#: benchmarks/compiled.py on a core that others used too, of which 6 to 32 are of CPU.
EXPECTED_SECONDS = 60.0
#: A try may take this share of the training to come: most models gain nothing.
TRY_SHARE = 0.05
#: What compiled steps save is at least so many times what compiling takes. A worker that starts
#: later has to load what was compiled.
MARGIN = 2.0


def parse(text: str) -> CompileOption:
    """The value of `--compile`. Raises SpecError for any other text."""
    if text in ("auto", "off"):
        return text  # type: ignore[return-value]
    raise SpecError(f"--compile {text[:40]!r}: auto or off is accepted")


def recorded_as(fuse: FuseOption, compile: CompileOption) -> str:
    """What `--fuse` and `--compile` asked for, as it stands beside the choice.

    Only what `--fuse auto` measures may be compiled.
    """
    return f"auto, {_OFF}" if (fuse, compile) == ("auto", "off") else str(fuse)


def asked_for(recorded: str) -> tuple[str, CompileOption]:
    """The values of `--fuse` and `--compile` of what was recorded so."""
    fuse, _, rest = recorded.partition(", ")
    return fuse, "off" if rest == _OFF else "auto"


def is_worth_a_try(workload: Workload, step_seconds: float) -> bool:
    """Whether the training to come is so long that a try may cost what compiling does."""
    return TRY_SHARE * workload.training_seconds(step_seconds) >= EXPECTED_SECONDS


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a try has found: seconds of a step of a trial alone, and those of compiling it."""

    plain: float
    compiled: float
    seconds: float


def decide(choice: Choice, workload: Workload, measured: Measured) -> tuple[bool, str]:
    """Whether steps are compiled in place of what was chosen, and why or why not."""
    best = measured.plain / (choice.speedup or 1.0)
    gain = best / max(measured.compiled, 1e-9)
    beside = "one by one" if choice.engine == "solo" else f"{choice.size} at once"
    if gain < LEAST_GAIN:
        return False, f"they are {gain:.2f}x over {beside}, {LEAST_GAIN} is needed"
    saved = workload.training_seconds(best) * (1 - 1 / gain)
    if saved < MARGIN * measured.seconds:
        return False, f"they would save {saved:.0f} s; compiling took {measured.seconds:.0f} s"
    return True, f"{gain:.1f}x over {beside}, compiled in {measured.seconds:.0f} s"


def compiled(choice: Choice, reason: str, seconds: float) -> Choice:
    """The same measurement, from which compiled steps were chosen; `seconds` is what it took."""
    total = choice.calibration_seconds + seconds
    return replace(choice, engine="compiled", size=1, reason=reason, calibration_seconds=total)
