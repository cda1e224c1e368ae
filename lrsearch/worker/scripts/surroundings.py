"""What a script's processes have in common on a worker, and how one is started."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lrsearch.child_process.supervisor import Supervisor
from lrsearch.own_loop.messages import RunKind, Start
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.parts import Objective
from lrsearch.worker.scripts.process import Launch, ScriptProcess


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a script's processes have in common on this worker."""

    supervisor: Supervisor
    launch: Launch
    #: `cpu`, `cuda:0`, `mps`.
    device: str
    threads: int
    #: Whether the worker is to stop.
    stop: Callable[[], bool]
    #: Hints that the log has already.
    hints: set[str]

    def start(
        self,
        kind: RunKind,
        recipe: Recipe,
        objective: Objective,
        folder: Path,
        output: Path,
        *,
        resume: Path | None = None,
        lrs: tuple[float, ...] | None = None,
    ) -> ScriptProcess:
        """A process that trains the recipe in `folder` once it is connected.

        `output`: the file that takes what it prints. `resume`: a state that the script goes on
        from. `lrs`: of a range test.
        """
        message = Start(
            kind=kind,
            recipe=recipe.to_dict(),
            device=self.device,
            threads=self.threads,
            folder=str(folder.absolute()),
            metric=objective.metric,
            direction=objective.direction,
            resume=None if resume is None else str(resume.absolute()),
            lrs=lrs,
        )
        return ScriptProcess(self.supervisor, self.launch, message, output)
