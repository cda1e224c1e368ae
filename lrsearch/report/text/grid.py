"""A table of text."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def cells(self, row: tuple[str, ...]) -> list[tuple[str, str]]:
        """Each cell with the name of its column."""
        return list(zip(self.columns, row, strict=True))

    def text(self) -> str:
        """For a terminal: columns of equal width."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
