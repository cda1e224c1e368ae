"""Does the best learning rate depend on the schedule? A panel for each pair with the optimizer."""

from lrsearch.report.basins import schedule_panels
from lrsearch.report.figures.figure import Figure
from lrsearch.report.figures.lr_basin import explained, sentences, title
from lrsearch.report.figures.lr_panels import chart
from lrsearch.report.model import Report

#: Pairs with fewer trials have no panel.
LEAST_TRIALS = 3
#: More pairs than this are not drawn: those with the most trials are.
MOST_PANELS = 24


def figure(report: Report) -> Figure | None:
    """None unless an optimizer has enough trials with each of two schedules."""
    found = schedule_panels(report, least=LEAST_TRIALS, most=MOST_PANELS)
    panels = found.panels
    if len({panel.schedule for panel in panels}) < 2:
        return None
    told = [panel for panel in panels if panel.is_sure]
    answers = list(sentences(told))
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
