r"""Text from outside on a terminal: what would drive it is written out, such as `\x1b`.

Rows of the database, names of metrics and logs are written by others. A terminal obeys control
characters in them: it moves its cursor, changes its title, hides a line or types an answer.
"""

import re

#: C0 but tab and newline, DEL and C1 (ECMA-48); line and paragraph separators, and what turns the
#: direction of writing (Unicode's UAX 9, "explicit formatting"); halves of characters.
_UNSAFE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_DRIVES = re.compile(f"[{_UNSAFE}]")
#: The same but for what progress bars and colours need: carriage returns, and ECMA-48's SGR.
_SCRIPT = re.compile(f"(\x1b\\[[0-9;:]*m|\r)|[{_UNSAFE}]")


def visible(text: str) -> str:
    """The text, in which nothing drives a terminal; newlines and tabs stay."""
    return _DRIVES.sub(_written_out, text)


def visible_output(text: str) -> str:
    """The same of what a script wrote to its terminal: its colours and progress bars stay."""
    return _SCRIPT.sub(lambda found: found[1] or _written_out(found), text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
