"""Runs of MLflow, in an experiment of the study's name: params, metrics by step, status and tags.

MLflow gives each run an id of its own, so a run is found again by the tag `lrsearch.id`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from lrsearch.loggers.run import End, OpenRun, Point, Run
from lrsearch.trial.states import TrialState

#: Of a run's tags, the one that names it; the others begin so too.
ID, PREFIX = "lrsearch.id", "lrsearch."
#: Metrics of one request at most (mlflow.utils.validation).
BATCH = 1000
#: Of ended runs. MLflow has no word for one that was stopped before its horizon but `KILLED`.
STATUS = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.DIVERGED: "KILLED",
    TrialState.FAILED: "FAILED",
}
#: What MLflow takes in the name of a metric or param; anything else becomes `_`.
_FOREIGN = re.compile(r"[^\w\-. :/]")


class MlflowTracker:
    """A tracking server, or a database that MLflow opens itself."""

    def __init__(self, uri: str) -> None:
        """Raises MlflowException where the server or database cannot be used."""
        with _creation_lock(uri):
            self._client = MlflowClient(tracking_uri=uri)
            self._client.search_experiments(max_results=1)  # makes the tables of a database
        self._experiments: dict[str, str] = {}

    def open(self, run: Run) -> OpenRun:
        """Raises MlflowException where the server or database does not answer."""
        client, experiment = self._client, self._experiment(run.study)
        found = client.search_runs([experiment], f"tags.`{ID}` = '{run.id}'", max_results=1)
        if found:
            mlflow_id = found[0].info.run_id
            client.update_run(mlflow_id, status="RUNNING")
            reached = max(
                (metric.step for metric in client.get_metric_history(mlflow_id, "epoch")),
                default=-1,
            )
        else:
            began = client.create_run(
                experiment,
                start_time=_milliseconds(run.started_at),
                run_name=run.name,
                tags={ID: run.id},
            )
            mlflow_id, reached = began.info.run_id, -1
        params = [Param(_key(name), str(value)) for name, value in run.params.items()]
        client.log_batch(mlflow_id, params=params, tags=_tags({"kind": run.kind, **run.tags}))
        return _MlflowRun(client, mlflow_id, reached)

    def would_lose(self, run: Run) -> bool:
        return False

    def _experiment(self, study: str) -> str:
        if study not in self._experiments:
            self._experiments[study] = _experiment_named(self._client, study)
        return self._experiments[study]


def _creation_lock(uri: str) -> AbstractContextManager[object]:
    """Of two processes that make the tables of one SQLite file, MLflow 3.17 leaves neither."""
    kind, _, path = uri.partition(":///")
    return FileLock(f"{path}.lock") if kind == "sqlite" and path else nullcontext()


def _experiment_named(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another worker was quicker
            if found is None:
                raise
    return str(found.experiment_id)


class _MlflowRun:
    def __init__(self, client: MlflowClient, mlflow_id: str, reached: int) -> None:
        self._client, self._id, self._reached = client, mlflow_id, reached

    def write(self, points: Sequence[Point]) -> None:
        new = [point for point in points if point.step > self._reached]
        metrics = (one for point in new for one in _metrics(point.scores, point.step, point.at))
        while batch := list(islice(metrics, BATCH)):
            self._client.log_batch(self._id, metrics=batch)
        if new:
            self._reached = new[-1].step

    def end(self, end: End) -> None:
        tags = {"state": end.state, **({"reason": end.reason} if end.reason else {})}
        metrics = list(_metrics(end.scores, end.step, end.at))
        self._client.log_batch(self._id, metrics=metrics, tags=_tags(tags))
        self._client.set_terminated(self._id, STATUS[end.state], _milliseconds(end.at))

    def close(self) -> None:
        pass


def _metrics(scores: Mapping[str, float], step: int, at: float) -> Iterable[Metric]:
    for name, score in scores.items():
        yield Metric(_key(name), score, _milliseconds(at), step)


def _tags(tags: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(PREFIX + name, value) for name, value in tags.items()]


def _key(name: str) -> str:
    return _FOREIGN.sub("_", name)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
