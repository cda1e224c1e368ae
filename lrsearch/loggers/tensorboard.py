"""Runs as folders of event files, which TensorBoard shows: scalars by step, and its HPARAMS page.

A folder always holds the whole run in one event file: whoever goes on with a run writes it anew.
"""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.metadata import (
    SESSION_END_INFO_TAG,
    SESSION_START_INFO_TAG,
    create_summary_metadata,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboard.plugins.text import metadata as text_plugin
from tensorboard.summary.writer.record_writer import RecordWriter

from lrsearch.loggers.run import End, OpenRun, Param, Point, Run
from lrsearch.trial.states import TrialState

#: How the names of event files begin.
EVENT_FILES = "events.out.tfevents.*"


class TensorboardTracker:
    """A folder in which each run has a folder, `STUDY/trial-N`."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def open(self, run: Run) -> OpenRun:
        """Raises OSError where the folder cannot be written."""
        folder = self._folder_of(run)
        folder.mkdir(parents=True, exist_ok=True)
        earlier = list(folder.glob(EVENT_FILES))
        opened = _TensorboardRun(folder, run)
        for path in earlier:
            path.unlink(missing_ok=True)
        return opened

    def would_lose(self, run: Run) -> bool:
        return any(self._folder_of(run).glob(EVENT_FILES))

    def _folder_of(self, run: Run) -> Path:
        return self._folder / run.study / run.folder


class _TensorboardRun:
    def __init__(self, folder: Path, run: Run) -> None:
        self._run, self._reached = run, -1
        name = f"events.out.tfevents.{time.time_ns()}.{platform.node()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._writer = RecordWriter(self._file)
        self._event(Event(file_version="brain.Event:2"))
        # A TensorBoard that is open forgets what it has read of an earlier attempt.
        self._event(Event(session_log=SessionLog(status=SessionLog.START)))
        start = SessionStartInfo(start_time_secs=run.started_at, group_name=run.folder)
        for name, value in {"kind": run.kind, **run.params}.items():
            _set(start, name, value)
        self._add_hparams(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))
        self._add_text("run", {"kind": run.kind, **run.tags}, run.started_at)
        self._file.flush()

    def write(self, points: Sequence[Point]) -> None:
        for point in points:
            if point.step > self._reached:
                self._add(point.scores, point.step, point.at)
                self._reached = point.step
        self._file.flush()

    def end(self, end: End) -> None:
        self._add(end.scores, end.step, end.at)
        status = STATUS_FAILURE if end.state == TrialState.FAILED else STATUS_SUCCESS
        self._add_text("end", {"state": end.state, "reason": end.reason or ""}, end.at)
        ended = SessionEndInfo(status=status, end_time_secs=end.at)
        self._add_hparams(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=ended))
        self.close()

    def close(self) -> None:
        self._file.close()

    def _add(self, scores: Mapping[str, float], step: int, at: float) -> None:
        values = [Summary.Value(tag=tag, simple_value=score) for tag, score in scores.items()]
        self._event(Event(step=step, summary=Summary(value=values)), at)

    def _add_hparams(self, tag: str, data: HParamsPluginData) -> None:
        value = Summary.Value(tag=tag, metadata=create_summary_metadata(data))
        self._event(Event(summary=Summary(value=[value])))

    def _add_text(self, tag: str, lines: Mapping[str, str], at: float) -> None:
        """On TensorBoard's TEXT page, which reads Markdown."""
        text = "  \n".join(f"{name}: {value}" for name, value in lines.items() if value)
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        metadata = text_plugin.create_summary_metadata(display_name=None, description=None)
        value = Summary.Value(tag=tag, tensor=tensor, metadata=metadata)
        self._event(Event(summary=Summary(value=[value])), at)

    def _event(self, event: Event, at: float | None = None) -> None:
        event.wall_time = self._run.started_at if at is None else at
        self._writer.write(event.SerializeToString())


def _set(start: SessionStartInfo, name: str, value: Param) -> None:
    field = start.hparams[name]
    if isinstance(value, bool):
        field.bool_value = value
    elif isinstance(value, int | float):
        field.number_value = value
    else:
        field.string_value = value
