"""What one worker trains with."""

from dataclasses import dataclass
from pathlib import Path

from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What one worker trains with."""

    #: `auto`, `cpu`, `mps` or `cuda:N`.
    device: str
    #: Of torch, on the CPU.
    threads: int
    fuse: FuseOption = "auto"
    compile: CompileOption = "auto"
    #: With the code of the studies, looked at first.
    task_dir: Path | None
