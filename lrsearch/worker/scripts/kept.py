"""The weights that a script's trial keeps in its folder: those of the validation of its value."""

import json
from pathlib import Path

from lrsearch.errors import StudyError
from lrsearch.plain_data import Document
from lrsearch.private_files import private
from lrsearch.training.checkpoint_file import load_plain
from lrsearch.training.kept_weights import KeptWeights
from lrsearch.trial.curve import Validation

#: Names the file of the weights, and the validation that they are of.
NOTE = "kept-weights.json"


def weights_file(folder: Path, validation: int) -> Path:
    """Where the weights of a validation are written."""
    return folder / f"kept-weights-{validation}.pt"


def keep(folder: Path, row: Validation) -> None:
    """Let the weights of this validation, which lie there, be those that are kept."""
    file = weights_file(folder, row.validation)
    part = folder / f"{NOTE}.part"
    with open(part, "w", encoding="utf-8", opener=private) as note:
        json.dump({"file": file.name, "row": row.to_dict()}, note)
    part.replace(folder / NOTE)
    for other in folder.glob("kept-weights-*.pt"):
        if other != file:
            other.unlink()


def kept_row(folder: Path) -> Validation | None:
    """The validation whose weights are kept; None if none are. Raises ValueError for no note."""
    note = _note(folder)
    return None if note is None else Validation.from_dict(note["row"])


def kept_model(folder: Path) -> KeptWeights | None:
    """The weights that are kept; None if none are. Raises StudyError where they cannot be read."""
    note = _note(folder)
    if note is None:
        return None
    row = Validation.from_dict(note["row"])
    file = weights_file(folder, row.validation)
    try:
        return KeptWeights(row=row, weights=load_plain(file.read_bytes()))
    except Exception as error:  # bytes can be wrong in more ways than torch has errors for
        raise StudyError(f"the weights in {file} cannot be read: {error}") from error


def _note(folder: Path) -> Document | None:
    path = folder / NOTE
    if not path.is_file():
        return None
    found: Document = json.loads(path.read_text(encoding="utf-8"))
    return found
