"""Charts as what a page, a print and a folder hold: SVG, PNG, and a specification for scripts."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import altair as alt
import vl_convert
from altair.utils import update_nested
from altair.utils.schemapi import debug_mode

from lrsearch.report.figures.figure import Figure
from lrsearch.report.page.renderers import Renderers

#: Of a chart that does not say how wide it is, where no script makes it as wide as the window:
#: pixels.
WIDTH = 720
#: PNG files have so many dots for each pixel.
DOTS = 2.0
#: The colour of the text around it, which is dark on light paper and light on dark.
INK = "currentColor"
#: Of readers: about as wide as the one that texts are measured in; a wider one would be cut.
FONT = (
    '"Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", "Noto Sans", '
    '"DejaVu Sans Condensed", sans-serif'
)
#: vl_convert measures in Liberation Sans, which it brings along, what is to be in `sans-serif`. A
#: font of a file, such as DejaVu Sans, it reads anew for each text: a third of the CPU time of all.
MEASURED = "sans-serif"
#: `aria` would make a sentence of each mark; the figure has its own.
LOOK = alt.Config(
    aria=False,
    font=FONT,
    axis=alt.AxisConfig(
        labelColor=INK,
        titleColor=INK,
        domainColor=INK,
        tickColor=INK,
        gridColor=INK,
        gridOpacity=0.12,
        labelFontSize=11,
        titleFontSize=12,
        titleFontWeight="normal",
        labelLimit=220,
    ),
    legend=alt.LegendConfig(
        labelColor=INK,
        titleColor=INK,
        orient="top",
        labelFontSize=11,
        titleFontSize=11,
        titleFontWeight="normal",
        titleOrient="left",
        columns=4,
        labelLimit=260,
        symbolLimit=24,
    ),
    title=alt.TitleConfig(color=INK, fontSize=12, fontWeight="normal"),
    header=alt.HeaderConfig(labelColor=INK, titleColor=INK),
    text=alt.MarkConfig(color=INK),
    view=alt.ViewConfig(stroke=INK, strokeOpacity=0.25),
)
#: What Vega calls each group of marks, without a name: the picture as a whole has one.
_ROLES = re.compile(r' role="graphics-[^"]*"(?: aria-roledescription="[^"]*")?')
#: Of parts of an SVG picture that it refers to. Vega counts them through all pictures of a process.
_NAMES = re.compile(r'(id="|url\(#)((?:clip|gradient)[^")]*)')


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure, drawn."""

    figure: Figure
    #: An `svg` element that takes the colour of the text around it.
    svg: str
    #: In Vega-Lite's JSON, without a width unless the chart has its own: what a script draws.
    specification: str

    @property
    def picture(self) -> str:
        """The same for a file of its own: black ink on white paper."""
        head, start, rest = self.svg.partition(">")
        paper = '<rect width="100%" height="100%" fill="white"/>'
        return f"{head}{start}{paper}{rest}".replace(INK, "black")

    def png(self) -> bytes:
        """The picture in dots, which take a tenth of a second of CPU to draw."""
        return vl_convert.svg_to_png(self.picture, scale=DOTS)


def draw(figure: Figure) -> Drawing:
    """A figure as SVG and as its specification; equal figures give equal texts."""
    return draw_all([figure], Renderers())[0]


def draw_all(figures: Iterable[Figure], renderers: Renderers) -> list[Drawing]:
    """The same of several, which are made here while others are rendered."""
    made = []

    def on_paper() -> Iterator[str]:
        for figure in figures:
            specification = _specification(figure)
            made.append((figure, specification))
            yield _for_paper(specification)

    rendered = list(renderers.rendered(on_paper()))
    return [
        _drawing(figure, specification, svg)
        for (figure, specification), svg in zip(made, rendered, strict=True)
    ]


def _specification(figure: Figure) -> str:
    # What altair's typed objects hold is valid; to look again takes a second for 2,000 rows.
    with debug_mode(False):
        chart = update_nested(figure.chart.to_dict(validate=False), {"config": LOOK.to_dict()})
    return json.dumps(chart, separators=(",", ":"))


def _drawing(figure: Figure, specification: str, svg: str) -> Drawing:
    svg = svg.replace(f'font-family="{MEASURED}"', f'font-family="{escape(FONT)}"')
    named = _renamed(_ROLES.sub("", svg), figure.name)
    label = f'<svg role="img" aria-label="{escape(figure.alt)}" '
    return Drawing(figure=figure, svg=named.replace("<svg ", label, 1), specification=specification)


def _renamed(svg: str, figure: str) -> str:
    """The same with names of parts that no other picture of a page has, however it was rendered."""
    names: dict[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        name = names.setdefault(found[2], f"{figure}_part{len(names) + 1}")
        return f"{found[1]}{name}"

    return _NAMES.sub(renamed, svg)


def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that needs no network.

    The file is vl_convert's own bundle, which `python -m lrsearch.report.page.charts` writes: to
    build it for each report takes 1.5 s of CPU, half of what a report of 60 trials takes.
    """
    return (files("lrsearch.report.page") / "assets" / "vega.js").read_text(encoding="utf-8")


def build_library() -> str:
    """The bundle anew, as the installed vl_convert has it."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _for_paper(specification: str) -> str:
    """The same in the measured font; as wide as a page where it is one plot without a width."""
    chart = json.loads(specification)
    chart |= {"config": {**chart.get("config", {}), "font": MEASURED}}
    if not {"width", "concat", "hconcat", "vconcat", "spec"} & set(chart):
        chart |= {"width": WIDTH}
    for part in chart.get("vconcat", ()):
        if not {"width", "concat", "hconcat", "vconcat", "spec"} & set(part):
            part |= {"width": WIDTH}
    return json.dumps(chart)


if __name__ == "__main__":
    from pathlib import Path

    (Path(__file__).parent / "assets" / "vega.js").write_text(build_library(), encoding="utf-8")
