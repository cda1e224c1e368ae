"""The studies of a database in the text format that Prometheus reads."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lrsearch.errors import LrsearchError
from lrsearch.report.all_studies import DatabaseStatus

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

#: Of the text, as prometheus_client writes it.
CONTENT_TYPE = "text/plain; version=0.0.4"
#: Gauges of a study by the field that they show, and what they are.
OF_STUDY = {
    "trials": "Trials that have ended.",
    "running": "Trials that run now.",
    "epochs": "Epochs trained, confirmation included.",
    "epochs_total": "Epochs of the budget.",
    "workers": "Workers seen in the last minute.",
    "best": "The best value of the objective so far.",
}
#: The same of a project.
OF_PROJECT = {
    "device_hours": "Hours of training, summed over devices.",
    "device_hours_total": "The most hours that the project may train.",
}


def metrics_text(status: DatabaseStatus) -> str:
    """Gauges with the labels `project` and `study`.

    Raises LrsearchError where prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.registry import Collector
    except ImportError as error:
        raise LrsearchError(
            "metrics need prometheus_client; install it with pip install 'lrsearch[metrics]'"
        ) from error

    class Gauges(Collector):
        def collect(self) -> "Iterator[GaugeMetricFamily]":
            yield from _gauges(status)

    registry = CollectorRegistry()
    registry.register(Gauges())
    return generate_latest(registry).decode()


def _gauges(status: DatabaseStatus) -> "Iterator[GaugeMetricFamily]":
    from prometheus_client.core import GaugeMetricFamily

    for field, text in OF_STUDY.items():
        gauge = GaugeMetricFamily(f"lrsearch_study_{field}", text, labels=("project", "study"))
        for study in status.studies:
            value = getattr(study, field)
            if value is not None:
                gauge.add_metric((study.project, study.name), value)
        yield gauge
    states = GaugeMetricFamily(
        "lrsearch_study_state",
        "1 for the state that the study is in.",
        labels=("project", "study", "state"),
    )
    for study in status.studies:
        states.add_metric((study.project, study.name, study.state), 1)
    yield states
    for field, text in OF_PROJECT.items():
        gauge = GaugeMetricFamily(f"lrsearch_project_{field}", text, labels=("project",))
        for project in status.projects:
            value = getattr(project, field)
            if value is not None:
                gauge.add_metric((project.name,), value)
        yield gauge
