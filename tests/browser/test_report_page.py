"""The report's page in a real browser: no errors, nothing fetched, readable on a phone."""

import re

from opened_page import drawn

from lrsearch.recipe.recipe import Recipe
from lrsearch.report.text import format

#: CSS pixels (1/96 inch) of A4 between margins of 14 mm.
PAPER_WIDTH = round((210 - 2 * 14) / 25.4 * 96)


def test_the_console_is_silent_and_nothing_is_fetched(page, written):
    outside = [url for url in page.requests if not url.startswith("data:")]
    assert outside == [written[1].as_uri()]
    assert page.messages == []


def test_the_answer_is_visible_without_scrolling(page, written, viewport):
    recipe = page.get_by_text(Recipe.from_dict(written[0].winner.recipe).title(), exact=True).first
    score = page.get_by_text(format.mean(written[0].winner.mean, written[0].winner.ci95)).first
    for element in (recipe, score):
        assert element.is_visible()
        box = element.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"]
        assert box["y"] + box["height"] <= viewport["height"]


def test_no_content_is_wider_than_the_window(page, viewport):
    for opened in (False, True):
        page.evaluate(f"document.querySelectorAll('details').forEach(d => d.open = {opened:d})")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_every_figure_is_drawn_inside_its_box(page):
    hosts = drawn(page)
    assert len(hosts) >= 4
    for host in hosts:
        inside = host.evaluate("host => host.scrollWidth <= host.clientWidth")
        by_keyboard = host.locator("svg [tabindex='0']").count() or host.get_attribute("tabindex")
        assert inside or by_keyboard  # it scrolls, by keyboard too
        assert len(host.locator("svg").first.get_attribute("aria-label")) > 20
    assert page.messages == []


def test_a_chosen_trial_is_marked_in_figures_and_table(one_page, written):
    number = written[0].best.number
    drawn(one_page)
    one_page.get_by_label("Trial", exact=True).fill(str(number))
    one_page.get_by_label("Trial", exact=True).press("Enter")
    assert one_page.locator("tr.chosen").get_attribute("data-trial") == str(number)
    assert one_page.locator("#history .chosen").count() >= 1
    for host in one_page.locator("[data-chart]").all():  # nothing is faint where the trial is not
        assert host.locator(".chosen").count() or not host.locator(".other").count()
    assert f"Trial {number}:" in one_page.locator("#filter-status").inner_text()


def test_a_filter_leaves_the_trials_of_one_optimizer(one_page, written):
    names = {trial.parsed.optimizer_name for trial in written[0].trials}
    name = sorted(names)[0]
    one_page.locator("#filter-optimizer").select_option(name)
    rows = one_page.locator("#all-trials tbody tr").all()
    expected = [t for t in written[0].trials if t.parsed.optimizer_name == name]
    assert len(rows) == len(expected)
    assert {row.get_attribute("data-optimizer") for row in rows} == {name}


def test_the_table_sorts_by_a_column(one_page, written):
    one_page.locator("#all-trials summary").click()
    head = one_page.locator("#all-trials th").nth(1)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    first = one_page.locator("#all-trials tbody tr").first
    assert first.get_attribute("data-trial") == str(
        min((t for t in written[0].trials if t.value is not None), key=lambda t: t.value).number
    )


def test_without_scripts_figures_and_trials_are_there(browser, written, viewport):
    page = browser.new_page(viewport=viewport, java_script_enabled=False)
    page.goto(written[1].as_uri())
    assert page.locator("figure svg").count() == page.locator("figure").count() >= 4
    assert page.locator("#all-trials tbody tr").count() == len(written[0].trials)
    assert not page.locator("#controls").is_visible()
    page.close()


def test_equal_looking_values_are_sorted_by_what_they_are(one_page, written):
    one_page.locator("#all-trials summary").click()
    head = one_page.locator("#all-trials th").nth(1)
    head.get_by_role("button").focus()
    one_page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    complete = [trial for trial in written[0].trials if trial.is_scored]
    expected = [str(t.number) for t in sorted(complete, key=lambda trial: trial.value)]
    rows = one_page.locator("#all-trials tbody tr", has_text="complete").all()
    assert [row.get_attribute("data-trial") for row in rows] == expected
    texts = [row.locator("td").nth(1).inner_text() for row in rows]
    assert len(set(texts)) < len(texts)


def test_no_width_between_scrolls_sideways(one_page):
    for width in (768, 1440):
        one_page.set_viewport_size({"width": width, "height": 900})
        drawn(one_page)
        assert one_page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_filter_leaves_no_panel_and_no_legend_of_others(one_page, written):
    drawn(one_page)
    panels = [trial.parsed.optimizer_name for trial in written[0].trials]
    assert len(set(panels)) > 1
    name = sorted(set(panels))[0]
    others = set(panels) - {name}
    one_page.locator("#filter-optimizer").select_option(name)
    for figure in one_page.locator("figure").all():
        note = figure.locator(".filtered", has_text=f"Filtered: optimizer = {name}, ")
        figure.evaluate("figure => figure.scrollIntoView()")
        note.wait_for()
        assert f"{panels.count(name)} of {len(panels)} trials" in note.inner_text()
        plot = figure.locator(".plot")
        none_of_them = "None of them is in this figure." in note.inner_text()
        assert plot.is_visible() != none_of_them
    words = one_page.locator("#lr_basin .drawn text").all_text_contents()
    assert not any(word.startswith(other) for word in words for other in others)
    one_page.locator("#filter-clear").click()
    for figure in one_page.locator("figure").all():
        figure.evaluate("figure => figure.scrollIntoView()")
        figure.locator(".filtered").wait_for(state="detached")
        figure.locator(".plot").wait_for()
    assert one_page.messages == []


def test_a_heading_that_is_linked_to_stands_below_the_filter(one_page):
    drawn(one_page)
    one_page.evaluate(
        """() => {  // the bar grows by the trial's line, and no frame is drawn before the jump
            const trial = document.getElementById("filter-trial");
            trial.value = "0";
            trial.dispatchEvent(new Event("change"));
            location.hash = "curves";
        }"""
    )
    one_page.wait_for_function(
        """() => {
            const top = document.getElementById("curves").getBoundingClientRect().top;
            const bar = document.getElementById("controls").getBoundingClientRect();
            return bar.top <= 0 && top >= bar.bottom && top < innerHeight;
        }"""
    )


def test_a_link_to_a_trial_opens_the_table_at_its_row(one_page):
    row = one_page.locator("#trial-2")
    assert not row.is_visible()
    one_page.evaluate("location.hash = 'trial-2'")
    row.wait_for()
    assert "chosen" in row.get_attribute("class")


def test_in_print_the_table_of_trials_is_there_and_then_closed_again(one_page):
    table = one_page.locator("#all-trials table")
    assert not table.is_visible()
    one_page.emulate_media(media="print")
    one_page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert table.is_visible()
    one_page.evaluate("dispatchEvent(new Event('afterprint'))")
    one_page.emulate_media(media="screen")
    assert not table.is_visible()


def test_a_pdf_has_pages_on_which_every_figure_is_whole(browser, written, viewport):
    """Chromium lays the page out as it prints it: on A4 of the width between its margins."""
    page = browser.new_page(viewport=viewport)
    page.goto(written[1].as_uri())
    drawn(page)
    pdf = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 3
    page.set_viewport_size({"width": PAPER_WIDTH, "height": 1000})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_WIDTH
    for figure in page.locator("figure").all():
        seen = [svg for svg in figure.locator("svg").all() if svg.is_visible()]
        assert len(seen) == 1
        box = seen[0].bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PAPER_WIDTH
        assert box["width"] >= 150
    page.close()


def test_the_page_prints_dark_on_white(page):
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    lines = page.locator("pre.commands").first
    assert lines.evaluate("element => getComputedStyle(element).whiteSpace") == "pre-wrap"
    for selector in ("body", "figcaption", "summary", "th"):
        ink = page.locator(selector).first.evaluate("element => getComputedStyle(element).color")
        assert contrast(ink, "rgb(255, 255, 255)") >= 4.5


def test_text_stands_out_from_its_background(page):
    for selector in ("body", ".soft", "figcaption", "summary", "th", ".recipe"):
        colours = page.locator(selector).first.evaluate(
            """element => {
                let behind = element;
                const seen = e => getComputedStyle(e).backgroundColor;
                while (seen(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
                return [getComputedStyle(element).color, seen(behind)];
            }"""
        )
        assert contrast(*colours) >= 4.5, (selector, colours)  # WCAG AA


def contrast(one, other):
    darker, lighter = sorted(luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    """Relative luminance of `rgb(r, g, b)` by WCAG."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
