"""Recorded trainings, one JSON object a line."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

RUNS = Path(__file__).resolve().parents[1] / "data" / "portfolio_runs.jsonl.gz"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training to its end."""

    task: str
    entry: str
    kind: str
    seed: int
    #: Of the task.
    batch_size: int
    #: Lowest and last validation loss; None if it diverged.
    best: float | None
    last: float | None
    #: Wall time of its share of a program, on a machine with other work.
    seconds: float


def read(path: Path) -> list[Run]:
    if not path.exists():
        return []
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [Run(**json.loads(line)) for line in text.decode().splitlines()]
