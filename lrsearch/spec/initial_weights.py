"""InitialWeights: a study's field `init`, the weights that every trial starts from."""

from pathlib import Path

from pydantic import Field, field_validator

from lrsearch.plain_data import Unchecked
from lrsearch.spec.parts import Part


class InitialWeights(Part):
    """A file of weights, as `torch.save(model.state_dict(), file)` writes it."""

    #: Beside the study file, or in a folder there.
    file: str = Field(min_length=1)
    #: Whether every parameter and buffer of the model is in the file, and nothing else. If not,
    #: what is in one of them alone, or in another shape, is left as it is.
    strict: bool = True
    #: SHA-256 of the file; filled in when the study is made, as that of the task's code.
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @field_validator("file")
    @classmethod
    def _beside(cls, value: str) -> str:
        if Path(value).is_absolute() or ".." in Path(value).parts or "\0" in value:
            raise ValueError("a file beside the study file is accepted; a link to another will do")
        return value


def as_initial_weights(value: Unchecked | InitialWeights) -> Unchecked | InitialWeights:
    """A file alone as a mapping."""
    if isinstance(value, str):
        return {"file": value}
    if value is not None and not isinstance(value, dict | InitialWeights):
        raise ValueError("a file such as weights.pt, or {file: weights.pt, strict: false} is taken")
    return value
