"""One side of same_bits.py: an install of lrsearch, and what its command line trains."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installs import CommandError, find_install, last_line
from same_bits_studies import HERE, NOISY, PLAIN, SEARCH, Study

SHELL = HERE / "same_bits_shell.py"
#: Where same_bits_task.py reads after how many losses it is to be interrupted, or that it is never
#: but counts them; and the file to which it adds their number.
STOP_AFTER, NEVER, LOSSES = "SAME_BITS_STOP_AFTER", -1, "SAME_BITS_LOSSES"
#: Probes for a cohort compute so many losses at most, of all workers of a study.
PROBED = 60
#: Of trials that are trained one by one or several at once.
HOW = ("--device", "cpu", "--fuse")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A way to train studies."""

    title: str
    #: How many trials at once.
    size: int
    studies: Sequence[Study]
    #: After how many losses each worker but the last is interrupted.
    stops: Sequence[int] = ()
    #: Whether by `lrsearch run`, in place of a worker without its parent and the report.
    whole: bool = False

    @property
    def fuse(self) -> str:
        """As the command line takes it."""
        return "off" if self.size == 1 else str(self.size)


#: A cohort of six leaves two of twenty for the last one, which gets smaller; after 500 of its steps
#: the others' is recorded and repeated. Each cohort is interrupted once, one by one every third
#: trial, each elsewhere.
ENGINES = (
    Engine(title="one by one", size=1, studies=(PLAIN, NOISY)),
    Engine(title="cohorts of 6", size=6, studies=(PLAIN, NOISY)),
    Engine(title="one by one, resumed", size=1, studies=(PLAIN, NOISY), stops=(550,) * 6),
    Engine(
        title="cohorts of 6, resumed", size=6, studies=(PLAIN, NOISY), stops=(110, 200, 200, 200)
    ),
    Engine(title="search on digits", size=1, studies=(SEARCH,), whole=True),
)


@dataclass(kw_only=True)
class Result:
    """What one side gave of one study."""

    trials: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    #: By trial and validation.
    curves: dict[tuple[int, int], Mapping[str, Any]] = field(default_factory=dict)
    #: What should not be, whatever the other side gave.
    troubles: list[str] = field(default_factory=list)


class Side:
    """An install, and a folder for its studies."""

    def __init__(self, name: str, where: Path, folder: Path, log: Callable[[str], None]) -> None:
        """`where` is a checkout, a virtual environment, or its interpreter.

        Raises CommandError if lrsearch cannot be imported from there.
        """
        self.name, self.folder, self.log = name, folder, log
        folder.mkdir()
        install = find_install(where, folder)
        self.package = install.package
        self._shell = subprocess.Popen(
            [install.python, "-P", str(SHELL)],
            cwd=folder,
            env=install.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.torch = self._answer()

    def close(self) -> None:
        if self._shell.stdin is not None:
            self._shell.stdin.close()  # it then ends
        self._shell.wait()

    def train(self) -> dict[tuple[str, str], Result]:
        """Every study in every engine, by title and name."""
        results = {}
        for engine in ENGINES:
            for study in engine.studies:
                results[engine.title, study.name] = self._result(engine, study)
                self.log(f"{self.name}: {engine.title}, {study.name}: done")
        return results

    def _result(self, engine: Engine, study: Study) -> Result:
        name = f"{study.name}-{engine.fuse}{'-resumed' if engine.stops else ''}"
        file = study.write(self.folder, name)
        try:
            if engine.whole:
                self._lrsearch("run", file, "--workers", 1, *HOW, engine.fuse)
                return self._read(name)
            self._lrsearch("study", "create", file)
            if not engine.stops:
                self._lrsearch("worker", name, *HOW, engine.fuse)
                return self._read(name)
            computed = self._interrupted(engine, name)
            result = self._read(name)
        except CommandError as error:
            return Result(troubles=[str(error)])
        result.troubles += _not_resumed(engine, study, result, computed)
        return result

    def _interrupted(self, engine: Engine, name: str) -> int:
        """Train with workers that are interrupted, and one that comes to the end; their losses."""
        losses = self.folder / f"{name}.losses"
        for stop in (*engine.stops, NEVER):
            environment = {STOP_AFTER: str(stop), LOSSES: str(losses)}
            self._lrsearch("worker", name, *HOW, engine.fuse, environment=environment)
        return sum(map(int, losses.read_text().split())) if losses.exists() else 0

    def _read(self, name: str) -> Result:
        rows = json.loads(self._lrsearch("study", "trials", name, "--json"))
        result = Result(trials={row["trial"]: row for row in rows})
        for row in json.loads(self._lrsearch("study", "curves", name, "--json")):
            number, validation = row["trial"], row["validation"]
            result.curves[number, validation] = row
            if row.get("weights") is None:
                result.troubles.append(f"trial {number} tells no weights at {validation}")
        return result

    def _lrsearch(self, *words: object, environment: Mapping[str, str] | None = None) -> str:
        """What a command says. Raises CommandError if it fails."""
        storage = f"sqlite:///{self.folder / 'studies.db'}"
        output = [self.folder / "stdout", self.folder / "stderr"]
        order = {
            "words": [*map(str, words), "--storage", storage],
            "output": list(map(str, output)),
            "environment": dict(environment or {}),
        }
        assert self._shell.stdin is not None
        self._shell.stdin.write(json.dumps(order) + "\n")
        self._shell.stdin.flush()
        if (code := self._answer()) != 0:
            last = last_line(output[1].read_text(errors="replace"))
            raise CommandError(f"{self.name}: lrsearch {words[0]} {words[1]}: {code}: {last}")
        return output[0].read_text(encoding="utf-8")

    def _answer(self) -> Any:
        assert self._shell.stdout is not None
        line = self._shell.stdout.readline()
        if not line:
            raise CommandError(f"{self.name}: {SHELL.name} has ended")
        return json.loads(line)


def _not_resumed(engine: Engine, study: Study, result: Result, computed: int) -> list[str]:
    """What shows that nothing was interrupted, or did not go on from a checkpoint."""
    if not any(row["attempts"] > 1 for row in result.trials.values()):
        return ["no trial was interrupted"]
    needed = study.losses * -(-study.trials // engine.size)
    if not needed <= computed <= needed + PROBED:
        return [f"{computed} losses were computed for {needed}: trials began anew"]
    return []
