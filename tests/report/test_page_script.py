"""The script that draws a page's charts is the one that the installed vl_convert bundles."""

import pytest

from lrsearch.report.page.charts import build_library, library


@pytest.mark.slow
def test_the_script_beside_the_page_is_what_vl_convert_makes():
    assert library() == build_library()
