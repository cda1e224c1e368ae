"""What tests do with an open page."""


def drawn(page):
    """Every chart, scrolled to and drawn by the page's script."""
    hosts = page.locator("[data-chart]").all()
    for host in hosts:
        host.scroll_into_view_if_needed()
        host.and_(page.locator("[data-drawn]")).wait_for()
    return hosts
