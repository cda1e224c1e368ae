"""A checkpoint of a script's trial: a line of JSON of the worker's, then the script's own state."""

import json
import logging
from dataclasses import dataclass

import torch

from lrsearch.errors import describe
from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.trial.curve import Validation
from lrsearch.worker.scripts.surroundings import Surroundings
from lrsearch.worker.user_process.position import Position

log = logging.getLogger("lrsearch")

#: Changes when an older checkpoint can no longer be read.
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a trial stands, and the state that its script has written."""

    #: See `facts_of`.
    facts: Fields
    position: Position
    #: Rows of the curve that are not in the database yet.
    rows: tuple[Validation, ...]
    state: bytes

    def to_bytes(self) -> bytes:
        head = {
            "facts": self.facts,
            "position": self.position.to_dict(),
            "rows": [row.to_dict() for row in self.rows],
        }
        return json.dumps(head).encode() + b"\n" + self.state


def facts_of(recipe: Recipe, surroundings: Surroundings) -> Fields:
    """What must be equal for a resumed trial to give the same bits."""
    return {
        "format": FORMAT,
        "program": surroundings.launch.reference,
        "torch": str(torch.__version__),
        "device": surroundings.device.partition(":")[0],
        "threads": surroundings.threads,
        "recipe": recipe.to_dict(),
    }


def read_checkpoint(data: bytes, facts: Fields) -> Checkpoint | None:
    """What `to_bytes` gave; None, with a warning, where it is damaged or its facts are others."""
    head, _, state = data.partition(b"\n")
    try:
        found = json.loads(head)
        read = Checkpoint(
            facts=dict(found["facts"]),
            position=Position.from_dict(found["position"]),
            rows=tuple(Validation.from_dict(row) for row in found["rows"]),
            state=state,
        )
    except (ValueError, KeyError, TypeError) as error:
        log.warning("a checkpoint cannot be read, starting anew: %s", describe(error))
        return None
    mine = json.loads(json.dumps(facts))
    if other := [name for name in mine if read.facts.get(name) != mine[name]]:
        log.warning("a checkpoint was made with another %s; starting anew", " and ".join(other))
        return None
    return read
