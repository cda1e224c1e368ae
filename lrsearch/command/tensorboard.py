"""Metrics from the event files of TensorBoard, which the package `tensorboard` reads."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.command.reading import Reading
from lrsearch.errors import TaskError

if TYPE_CHECKING:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

#: How the names of event files begin.
_EVENT_FILES = "events.out.tfevents.*"


class TensorboardReader:
    """Reports from the event files in a folder and in those below.

    One comes for each value of the metric, with the step that the script gave to `add_scalar`. Only
    the metric and the tags of `words` are read, and a report waits for each of them at its step.
    """

    def __init__(self, folder: Path, metric: str, words: Mapping[str, str]) -> None:
        """Raises TaskError where the package `tensorboard` is not installed."""
        try:
            from tensorboard.backend.event_processing import event_accumulator
        except ImportError as error:
            raise TaskError(
                "report.tensorboard: the package tensorboard is not installed; "
                "pip install 'lrsearch[tensorboard]'"
            ) from error
        self._accumulator = event_accumulator.EventAccumulator
        self._guidance = {event_accumulator.SCALARS: 0}  # all of them
        self._folder, self._metric = folder, metric
        self._tags = {metric: metric, **words}
        self._files: dict[Path, EventAccumulator] = {}
        #: How many values of the metric were given away, by file.
        self._given: dict[Path, int] = {}

    def poll(self, *, ended: bool = False) -> list[Reading]:
        for path in sorted(self._folder.rglob(_EVENT_FILES)):
            if path not in self._files:
                # Else what an earlier attempt wrote beyond the step of a later one is forgotten.
                self._files[path] = self._accumulator(
                    str(path), size_guidance=self._guidance, purge_orphaned_data=False
                )
        return [reading for path in self._files for reading in self._new(path)]

    def skip(self) -> None:
        self.poll()

    def explain(self) -> str:
        tags = sorted({tag for file in self._files.values() for tag in file.scalars.Keys()})
        if not self._files:
            return f"{self._folder} holds no event file of TensorBoard"
        wanted = ", ".join(map(repr, self._tags.values()))
        return f"{self._folder} has no step with {wanted}; its tags: {', '.join(tags) or 'none'}"

    def _new(self, path: Path) -> Iterator[Reading]:
        file = self._files[path]
        file.Reload()
        if self._tags[self._metric] not in file.scalars.Keys():
            return
        events = file.Scalars(self._tags[self._metric])
        others = {name: _by_step(file, tag) for name, tag in self._tags.items()}
        for place in range(self._given.get(path, 0), len(events)):
            step = events[place].step
            if all(step in values for values in others.values()):
                metrics = {name: values[step] for name, values in others.items()}
                metrics[self._metric] = events[place].value
                yield Reading(metrics=metrics, step=step)
                self._given[path] = place + 1


def _by_step(file: "EventAccumulator", tag: str) -> Mapping[int, float]:
    events = file.Scalars(tag) if tag in file.scalars.Keys() else []
    return {event.step: event.value for event in events}
