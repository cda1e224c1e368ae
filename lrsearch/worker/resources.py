"""What a study is trained with on this machine."""

from dataclasses import dataclass, field

from lrsearch.errors import SpecError
from lrsearch.fusing import compiling, fuse_option
from lrsearch.worker.forks import WorkerForks


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a study is trained with on this machine."""

    #: Worker processes; None: one per accelerator, else one per core.
    workers: int | None = None
    #: `auto`, `cpu`, `mps` or `cuda:N`.
    device: str = "auto"
    fuse: fuse_option.FuseOption = "auto"
    compile: compiling.CompileOption = "auto"
    #: Where its workers are forked, once that has begun.
    forks: WorkerForks = field(default_factory=WorkerForks)

    @classmethod
    def parse(
        cls,
        *,
        workers: int | None = None,
        device: str = "auto",
        fuse: int | str = "auto",
        compile: str = "auto",
        forks: WorkerForks | None = None,
    ) -> "Resources":
        """Raises SpecError for a number of workers, a `fuse` or a `compile` that there is not."""
        if workers is not None and workers < 1:
            raise SpecError(f"--workers {workers}: at least 1 is needed")
        return cls(
            workers=workers,
            device=device,
            fuse=fuse_option.parse(str(fuse)),
            compile=compiling.parse(compile),
            forks=WorkerForks() if forks is None else forks,
        )
