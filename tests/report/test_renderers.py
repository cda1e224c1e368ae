"""Charts that other processes render are those that this one does."""

import json
import subprocess
import sys

import psutil
import pytest
from processes import until

from lrsearch.report.page.renderers import MOST, Renderers, render


def chart(count):
    return json.dumps(
        {
            "data": {"values": [{"x": i, "y": i * i} for i in range(count)]},
            "mark": {"type": "line", "clip": True},
            "encoding": {
                "x": {"field": "x", "type": "quantitative"},
                "y": {"field": "y", "type": "quantitative"},
            },
        }
    )


@pytest.fixture(scope="module")
def renderers():
    with Renderers() as some:
        some.begin()
        yield some


def without_clip(svg):
    """Vega counts clips through all pictures of a process."""
    head, _, rest = svg.partition('<clipPath id="clip')
    number = rest.partition('"')[0]
    return svg.replace(f"clip{number}", "clip") if rest else head


def test_they_give_what_this_process_gives_in_the_same_order(renderers):
    charts = [chart(count) for count in range(2, 12)]
    found = list(renderers.rendered(charts))
    assert [without_clip(svg) for svg in found] == [without_clip(render(one)) for one in charts]
    assert len(set(found)) == len(charts)


def test_none_that_has_begun_is_this_process():
    assert without_clip(next(Renderers().rendered([chart(3)]))) == without_clip(render(chart(3)))


def test_what_cannot_be_drawn_is_an_error_here(renderers):
    with pytest.raises(ValueError, match="Vega-Lite to SVG conversion failed"):
        list(renderers.rendered([json.dumps({"mark": 7})]))


def test_what_a_killed_process_had_to_render_is_rendered_here():
    with Renderers() as some:
        some.begin()
        assert 1 <= len(some._processes) <= MOST
        for process in some._processes:
            process.kill()
        charts = [chart(2), chart(3)]
        assert len(list(some.rendered(charts))) == 2


def test_they_end_when_the_process_that_began_them_is_killed():
    code = (
        "import time\n"
        "from lrsearch.report.page.renderers import Renderers\n"
        "some = Renderers(); some.begin()\n"
        "print(*(process.pid for process in some._processes), flush=True)\n"
        "time.sleep(1000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
