"""What is to be started: so many workers of one study, and how each of them is run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lrsearch.errors import SpecError, near_miss
from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.launch.snapshot import CodeSnapshot
from lrsearch.storage.location import Location

#: Exit code of a worker that leaves before its study is finished, where a scheduler is to start
#: another one: EX_TEMPFAIL of sysexits.h.
UNFINISHED = 75
#: A worker that leaves an unfinished study sooner had no time for a single trial, in seconds: to
#: start another one would change nothing.
LEAST_SECONDS = 60.0
NO_TIME = "no trial can be saved within the time limit; give a longer --time-limit"
#: Variables of this process that name the database's password.
PASSWORDS = ("PGPASSWORD", "PGPASSFILE")


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Workers of one study that are started together."""

    study: str
    #: How many, at least 1.
    workers: int
    location: Location
    code: CodeSnapshot
    #: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`.
    device: str = "auto"
    fuse: FuseOption = "auto"
    compile: CompileOption = "auto"
    #: Of its study.
    devices_per_trial: int = 1
    #: Seconds that each worker may run; None: as long as the study.
    time_limit: float | None = None
    #: What a target takes besides, such as a Slurm partition.
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def gpus(self) -> int:
        """GPUs that each worker needs."""
        return self.devices_per_trial if self.device.startswith("cuda") else 0

    def words(self, task_dir: Path | str | None, *, device: str | None = None) -> list[str]:
        """`worker NAME ...`, the words after `lrsearch`; they hold no password."""
        words = ["worker", self.study, "--device", device or self.device]
        words += ["--fuse", str(self.fuse), "--compile", self.compile]
        if task_dir is not None:
            words += ["--task-dir", str(task_dir)]
        if self.time_limit is not None:
            words += ["--time-limit", f"{round(self.time_limit)}s"]
        return words

    def environment(self) -> dict[str, str]:
        """What opens the database elsewhere, its password included."""
        url = self.location.url
        if url.get_backend_name() == "sqlite":
            url = url.set(database=str(Path(str(url.database)).absolute()))
        given = {name: os.environ[name] for name in PASSWORDS if name in os.environ}
        return {"LRSEARCH_STORAGE": url.render_as_string(hide_password=False), **given}

    def check_settings(self, target: str, known: tuple[str, ...]) -> None:
        """Raises SpecError for a setting that the target does not take."""
        for name in self.settings:
            if name not in known:
                accepted = near_miss(name, known) if known else ", which takes none; leave it out"
                raise SpecError(f"--set {name}: not known on {target}{accepted}")
