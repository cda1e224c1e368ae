"""The file that a comparison is written into."""

from pathlib import Path

from lrsearch.errors import SpecError

#: Endings of a page and of Markdown.
HTML, MARKDOWN = (".html", ".htm"), (".md", ".markdown")


def check_file(out: Path) -> Path:
    """The file. Raises SpecError unless its ending is that of a page or of Markdown."""
    if out.suffix.lower() not in (*HTML, *MARKDOWN):
        raise SpecError(f"--out {out}: a file that ends in .html or .md is accepted")
    return out
