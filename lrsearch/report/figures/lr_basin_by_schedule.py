"""Does the best learning rate depend on the schedule? A panel for each pair with the optimizer."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from lrsearch.report.figures import looks
from lrsearch.report.figures.data.basins import LrPanel, schedule_panels
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.lr_basin import explained, title
from lrsearch.report.figures.lr_panels import chart
from lrsearch.report.model import Report
from lrsearch.report.text.format import learning_rate

#: Pairs with fewer trials have no panel.
LEAST_TRIALS = 3
#: More pairs than this are not drawn: those with the most trials are.
MOST_PANELS = 24


def figure(report: Report) -> Figure | None:
    """None unless an optimizer has enough trials with each of two schedules, and some a value."""
    found = schedule_panels(report, least=LEAST_TRIALS, most=MOST_PANELS)
    panels = found.panels
    if len({panel.schedule for panel in panels}) < 2:
        return None
    if all(trial.value is None for panel in panels for trial in panel.trials):
        return None
    told = [panel for panel in panels if panel.is_sure]
    answers = list(_spans(told))
    if not told:
        answers = ["No pair of optimizer and schedule has enough complete trials for an answer."]
    if found.left_out:
        answers.append(f"Not drawn: {found.left_out} pairs with fewer trials.")
    return Figure(
        name="lr_basin_by_schedule",
        title="Does the best learning rate depend on the schedule?",
        caption=" ".join([*answers, *explained(report, panels)]),
        alt=f"{report.metric} against peak learning rate, a panel for each pair of optimizer and "
        f"schedule, {len(panels)} in all. " + " ".join(answers),
        chart=chart(panels, report, titles=[title(panel) for panel in panels]),
    )


def _spans(panels: Sequence[LrPanel]) -> Iterable[str]:
    """Between which learning rates the best one moves with the schedule of an optimizer."""
    for optimizer, group in groupby(panels, key=lambda panel: panel.optimizer):
        mine = list(group)
        found = sorted(
            (panel.basin.best.value, panel.schedule) for panel in mine if panel.basin is not None
        )
        (low, first), (high, last) = found[0], found[-1]
        name = looks.short_name(optimizer)
        if any(panel.equivalent for panel in mine):
            name += " (converted)"
        if len(found) == 1:
            near = f"{name}: best near {learning_rate(low)} with {first}"
            yield f"{near}; no other schedule has enough trials."
            continue
        near = f"{name}: best near {learning_rate(low)} with {first}"
        yield f"{near}, up to {learning_rate(high)} with {last}."
