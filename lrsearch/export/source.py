"""Python source for plain values."""

import json

from lrsearch.plain_data import Unchecked


def literal(value: Unchecked) -> str:
    """Python source for a plain value, with the quotes that formatters prefer."""
    if isinstance(value, str):
        return repr(value) if '"' in value else json.dumps(value, ensure_ascii=False)
    return repr(value)
