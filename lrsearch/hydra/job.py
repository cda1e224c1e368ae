"""What a job tells its study: a line of JSON in the job's own folder for each validation."""

import json
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from lrsearch.errors import TaskError

#: In the folder of a job.
FILE = "lrsearch.jsonl"
#: Metrics that this process has reported.
_reported: set[str] = set()


def report(**metrics: float) -> None:
    """Tell what a validation has measured; the study's objective is one of the names.

    Call it inside the function that `hydra.main` runs, once for each validation. In a multirun of
    lrsearch the study may end the job after it, by SIGTERM. Without one it only writes
    `lrsearch.jsonl` into the job's folder. Raises TaskError for what is no number, and outside a
    job.
    """
    if not HydraConfig.initialized():
        raise TaskError("lrsearch.hydra.report was called outside a job of hydra.main")
    _write(Path(HydraConfig.get().runtime.output_dir), metrics)


def _write(folder: Path, metrics: dict[str, float]) -> None:
    numbers = {name: _number(name, value) for name, value in metrics.items()}
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(numbers) + "\n")
    _reported.update(numbers)


def _number(name: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskError(f"report: {name} = {value!r}, but one number is needed") from error


class ReturnValue(Callback):
    """Reports what a job has returned, if it has reported nothing meanwhile."""

    def __init__(self, metric: str) -> None:
        self._metric = metric

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: object) -> None:
        """Raises TaskError for a job that has told nothing."""
        if job_return.status != JobStatus.COMPLETED or self._metric in _reported:
            return
        value = job_return.return_value
        if value is None:
            raise TaskError(
                f"the job returned nothing and reported no {self._metric}; return it, or call "
                f"lrsearch.hydra.report({self._metric}=...) after each validation"
            )
        _write(Path(config.hydra.runtime.output_dir), {self._metric: value})
