"""Runs of Weights & Biases: config, history by step, summary; grouped by study.

Without a network (`WANDB_MODE=offline`) each worker that trains a run keeps the whole of it in a
folder of its own, so the newest folder of a run is the one to be synchronized.
"""

from collections.abc import Sequence
from pathlib import Path

import wandb

from lrsearch.loggers.run import End, OpenRun, Point, Run
from lrsearch.trial.states import TrialState

#: W&B's runs of this process are quiet, and leave its output and code alone.
SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "x_disable_stats": True,
}


class WandbTracker:
    """A project; `ENTITY/PROJECT` for another entity than the user's own."""

    def __init__(self, project: str) -> None:
        entity, _, self._project = project.rpartition("/")
        self._entity = entity or None

    def open(self, run: Run) -> OpenRun:
        """Raises wandb.Error where W&B cannot be used."""
        opened = wandb.init(
            entity=self._entity,
            project=self._project,
            id=run.id,
            resume="allow",
            reinit="create_new",
            name=run.name,
            group=run.study,
            job_type=run.kind,
            tags=[run.kind],
            config={**run.params, **run.tags},
            settings=wandb.Settings(**SETTINGS),
        )
        return _WandbRun(opened)

    def would_lose(self, run: Run) -> bool:
        """Without a network, whether a folder of the run is here."""
        folder = Path(wandb.setup().settings.wandb_dir)
        return any(folder.glob(f"offline-run-*-{run.id}"))


class _WandbRun:
    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        #: Of a run that is resumed, W&B tells the step after the last one that it has.
        self._next = run.step

    def write(self, points: Sequence[Point]) -> None:
        for point in points:
            if point.step >= self._next:
                self._run.log(dict(point.scores), step=point.step)
                self._next = point.step + 1

    def end(self, end: End) -> None:
        self._run.summary.update({**end.scores, "state": str(end.state), "reason": end.reason})
        self._run.finish(exit_code=int(end.state == TrialState.FAILED))

    def close(self) -> None:
        self._run.finish()
