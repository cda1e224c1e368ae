"""What axe-core finds on the report's page, and whether a keyboard is enough to use it."""

from axe_playwright_python.sync_playwright import Axe
from opened_page import drawn

#: Impacts that axe gives, of which the page may have none.
SERIOUS = {"serious", "critical"}


def found(page):
    """Rules that are broken seriously, each with the first element that breaks it."""
    violations = Axe().run(page).response["violations"]
    return {v["id"]: v["nodes"][0]["html"] for v in violations if v["impact"] in SERIOUS}


def test_axe_has_nothing_serious_to_say(page):
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert found(page) == {}  # most pictures as they stand in the file
    drawn(page)
    assert found(page) == {}  # and as the script has drawn them


def test_axe_says_so_where_a_picture_has_no_name(one_page):
    one_page.evaluate("document.querySelector('figure svg').removeAttribute('aria-label')")
    assert "svg-img-alt" in found(one_page)


def test_the_first_keys_lead_past_the_answer(one_page):
    for target in ("figures", "trials"):
        one_page.keyboard.press("Tab")
        link = one_page.locator(":focus")
        assert link.get_attribute("href") == f"#{target}"
        box = link.bounding_box()
        assert box["x"] >= 0
        assert box["y"] >= 0
    one_page.keyboard.press("Enter")
    assert one_page.evaluate("document.activeElement.id") == "trials"


STOPS = """
() => [...document.querySelectorAll("a[href], button, select, input, summary, [tabindex='0']")]
    .filter(each => !each.disabled && each.checkVisibility())
"""


def test_arrow_keys_move_between_the_marks_of_a_figure(one_page, written):
    drawn(one_page)
    for figure in one_page.locator("figure").all():  # one stop of the Tab key each
        assert figure.locator("svg [tabindex]").count() == 1
    ended = sorted(t.number for t in written[0].trials if t.has_ended)
    one_page.locator("#timeline svg [tabindex]").focus()
    one_page.locator("#history svg [tabindex]").focus()
    named = []
    for _ in ended:
        mark = one_page.locator(":focus")
        named.append(mark.get_attribute("aria-label"))
        tip = one_page.locator("#tip")
        assert tip.is_visible()
        lines = [" ".join(line.split(": ", 1)) for line in tip.inner_text().splitlines()]
        assert named[-1] == ", ".join(lines)
        one_page.keyboard.press("ArrowRight")
    assert len(set(named)) == len(named)
    one_page.keyboard.press("Home")
    assert one_page.locator(":focus").get_attribute("aria-label") == named[0]
    assert one_page.locator("#history svg [tabindex]").count() == 1
    one_page.keyboard.press("Enter")
    number = one_page.locator("#filter-trial").input_value()
    assert named[0].startswith(f"trial {number},")
    one_page.keyboard.press("Escape")
    assert not one_page.locator("#tip").is_visible()


def test_a_keyboard_reaches_everything_in_the_order_of_the_page(one_page):
    drawn(one_page)
    # Chromium 150: the Tab key goes on from what a script has scrolled to.
    one_page.evaluate("document.documentElement.scrollIntoView()")
    stops = one_page.evaluate(f"window.stops = ({STOPS})(); window.stops.length")
    assert stops > 10
    reached = []
    for _ in range(stops):
        one_page.keyboard.press("Tab")
        reached.append(one_page.evaluate("window.stops.indexOf(document.activeElement)"))
    assert reached == list(range(stops))
