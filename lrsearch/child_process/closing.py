"""What `with` closes at its end."""

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """A value that is closed where a `with` block ends, however it does."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
