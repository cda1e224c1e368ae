"""Pictures of a `Result`, on axes that the caller may go on with."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lrsearch.api.temporary_place import TemporaryPlace
from lrsearch.errors import StudyError, near_miss
from lrsearch.report.load import StudyHandle, with_curves
from lrsearch.report.model import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

#: Inches.
WIDTH, HEIGHT = 7.5, 4.4


class Plot:
    """The pictures of a study, each a method that draws on `ax` and returns it.

    Without `ax` a figure of pyplot's is made, which a notebook shows and `pyplot.show()` opens. The
    legend then stands below the axes, else inside of them.
    """

    def __init__(
        self, report: Report, study: StudyHandle, place: TemporaryPlace | None = None
    ) -> None:
        """`place` holds the study where nobody named it, and lives as long as this does."""
        self._report, self._study, self._place = report, study, place

    def __repr__(self) -> str:
        names = [name for name in vars(Plot) if not name.startswith("_")]
        return f"Plot of study {self._report.name}: {'(), '.join(names)}()"

    def history(self, ax: "Axes | None" = None) -> "Axes":
        """Every trial's value in the order of their starts, and the best so far."""
        from lrsearch.report.plots import plots, series

        drawn = _axes(ax)
        return _with_legend(drawn, plots.plot_history(series.history(self._report), drawn), ax)

    def curves(self, ax: "Axes | None" = None) -> "Axes":
        """The objective over the epochs: of the best trials, the confirmed, the baseline."""
        from lrsearch.report.plots import plots, series

        drawn, objective = _axes(ax), self._report.spec.objective
        handles = plots.plot_curves(
            series.curves(with_curves(self._study, self._report)),
            drawn,
            metric=objective.metric,
            direction=objective.direction,
        )
        return _with_legend(drawn, handles, ax, columns=2)

    def schedules(self, ax: "Axes | None" = None) -> "Axes":
        """The learning rate over the epochs, of the same trials in the same colours.

        Raises StudyError for a study of a command, whose script decides it.
        """
        from lrsearch.report.plots import plots, series

        if self._report.spec.program == "command":
            raise StudyError(
                f"plot.schedules(): the script of study {self._report.name!r} decides the learning "
                f"rate of each step; plot.lr() draws what it was given"
            )

        drawn, report = _axes(ax), with_curves(self._study, self._report)
        handles = plots.plot_lr_sequences(series.sequences(report), series.curves(report), drawn)
        return _with_legend(drawn, handles, ax, columns=2)

    def lr(self, optimizer: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Value against peak learning rate, of the trials of one optimizer: that of `best`.

        Raises StudyError for an optimizer that no trial has.
        """
        from lrsearch.report.plots import plots, series

        points, objective = series.lr_points(self._report), self._report.spec.objective
        tried = [point.optimizer for point in points]
        name = self._one_of(tried or self._report.spec.space.optimizers, optimizer, "trial")
        drawn = _axes(ax)
        handles = plots.plot_lr_against_value(
            points, name, drawn, metric=objective.metric, direction=objective.direction
        )
        return _with_legend(drawn, handles, ax)

    def range_test(self, optimizer: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Loss against learning rate in the range test of one optimizer: that of `best`.

        Raises StudyError where the study has none, or none of this optimizer.
        """
        from lrsearch.report.plots import range_test

        ended = {test.optimizer: test.parsed for test in self._report.range_tests if test.parsed}
        found = ended[self._one_of(ended, optimizer, "range test")]
        drawn = _axes(ax)
        handles = range_test.plot_range_test(found, drawn)
        drawn.set_ylabel("training loss of a batch")
        return _with_legend(drawn, list(handles.values()), ax)

    def confirmation(self, ax: "Axes | None" = None) -> "Axes":
        """Every run with a fresh seed, by recipe. Raises StudyError where nothing is confirmed."""
        from lrsearch.report.plots import confirmation

        report = self._report
        if not report.confirmed:
            raise StudyError(
                f"plot.confirmation(): study {report.name!r} has no confirmed recipe; "
                f"confirm() trains the best ones with fresh seeds"
            )
        drawn, objective = _axes(ax), report.spec.objective
        handles = confirmation.plot_seeds(
            report.confirmed, drawn, metric=objective.metric, direction=objective.direction
        )
        return _with_legend(drawn, handles, ax)

    def _one_of(self, known: Iterable[str], name: str | None, what: str) -> str:
        """The optimizer that is drawn. Raises StudyError for one that has no such thing."""
        names = list(dict.fromkeys(known))
        if name is not None and name not in names:
            hint = near_miss(name, names) if names else ""
            raise StudyError(f"study {self._report.name!r} has no {what} of {name}{hint}")
        if not names:
            raise StudyError(f"study {self._report.name!r} has no {what} that could be drawn")
        best = self._report.best
        if best is not None and best.parsed is not None and best.parsed.optimizer_name in names:
            names.insert(0, best.parsed.optimizer_name)
        return name or names[0]


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.figure(figsize=(WIDTH, HEIGHT), layout="constrained").add_subplot()


def _with_legend(
    drawn: "Axes", handles: "Sequence[Line2D | Patch]", given: "Axes | None", *, columns: int = 4
) -> "Axes":
    """The axes with a legend: the caller's get one of their own, for the figure is the caller's."""
    from matplotlib.figure import Figure

    from lrsearch.report.plots.looks import draw_legend

    if given is None and isinstance(drawn.figure, Figure):
        draw_legend(drawn.figure, handles, columns)
    elif handles:
        drawn.legend(handles=handles, fontsize="small")
    return drawn
