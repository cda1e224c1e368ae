"""The command line: each command opens, calls one function, prints."""

from lrsearch.cli.main import cli, main

__all__ = ["cli", "main"]
