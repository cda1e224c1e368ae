"""A figure of the report page: a chart and its words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import altair

    from lrsearch.report.figures.lr_panels import Panels

    Chart: TypeAlias = (
        altair.Chart
        | altair.LayerChart
        | altair.ConcatChart
        | altair.HConcatChart
        | altair.VConcatChart
        | altair.FacetChart
    )

#: Fields that a row of a chart's data has where it is of one trial. The page filters all charts by
#: the last two, and marks a trial that is chosen in one chart in all others by the first.
TRIAL, OPTIMIZER, SCHEDULE = "trial", "optimizer", "schedule"
#: In a chart's `usermeta`: pixels that it needs. Where the page has fewer, it scrolls in its box.
LEAST_WIDTH = "least_width"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: the question that it answers, its chart, and what must be said beside it."""

    #: Its anchor on the page and the name of its file: lower case, words joined by `_`.
    name: str
    #: The question, as a reader would ask it: "Which learning rates are safe?".
    title: str
    #: The answer in one or two sentences, how many trials are drawn, and what bands and marks mean.
    caption: str
    #: What it shows, for those who cannot see it.
    alt: str
    #: Without width and colours of paper and ink, which the page sets.
    chart: "Chart | Panels"
