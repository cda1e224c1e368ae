"""What tests do with an open page."""

#: Milliseconds that a chart may take on a loaded machine: a guard; the page says when it is drawn.
DRAWN_MS = 180_000


def drawn(page):
    """Every chart, scrolled to and drawn by the page's script; the boxes that they stand in."""
    hosts = page.locator("[data-chart]").all()
    for host in hosts:
        # Playwright's own scrolling waits until the page stands still, which takes turns to draw.
        host.evaluate("host => host.parentElement.scrollIntoView()")
        host.and_(page.locator("[data-drawn]")).wait_for(state="attached", timeout=DRAWN_MS)
    return hosts
