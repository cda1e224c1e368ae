"""The documentation site: sphinx-build -W --keep-going docs build/docs."""

import lrsearch
from lrsearch.cli import cli

project = "lrsearch"
copyright = "the lrsearch authors"
author = "The lrsearch authors"
release = version = lrsearch.__version__
html_title = f"lrsearch {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
html_theme = "furo"
# Source links need a public repository; the pages stand by themselves.
html_copy_source = html_show_sourcelink = False

# Headings are link targets, as on code hosting sites: glossary.md#lease.
myst_heading_anchors = 3

# Docstrings mark code with single backquotes.
default_role = "code"
autodoc_member_order = "bysource"
# Extras, which need not be installed for the site.
autodoc_mock_imports = ["lightning", "transformers", "hydra", "omegaconf"]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"


def leave_out_old_names(command):
    """sphinx-click would list the environment variables of hidden options."""
    command.params = [p for p in command.params if not getattr(p, "hidden", False)]
    for below in getattr(command, "commands", {}).values():
        leave_out_old_names(below)


leave_out_old_names(cli)
