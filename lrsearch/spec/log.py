"""The field `log` of a study file: experiment trackers that show each trial as a run."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from lrsearch.errors import SpecError
from lrsearch.plain_data import Unchecked
from lrsearch.spec.parts import Part
from lrsearch.user_input import first_error


class Log(Part):
    """Where the trials and confirmation runs of a study are logged, beside its database."""

    #: A folder; each run has one of its own below it, `STUDY/trial-N`.
    tensorboard: str | None = Field(default=None, min_length=1, examples=["runs"])
    #: A tracking URI: `http://HOST:5000`, `sqlite:///mlflow.db`.
    mlflow: str | None = Field(default=None, min_length=1, examples=["http://HOST:5000"])
    #: A project, or `ENTITY/PROJECT`.
    wandb: str | None = Field(default=None, min_length=1, examples=["my-project"])

    @field_validator("mlflow")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            has_password = urlsplit(value).password is not None
        except ValueError as error:
            raise ValueError(f"no URI ({error}); write it as http://HOST:5000") from error
        if has_password:
            raise SpecError(  # no ValueError, whose line would show the password
                "log.mlflow must not hold a password, it would stand in the database; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        if "://" not in value and value != "databricks":
            raise ValueError(
                "a tracking URI is accepted, such as http://HOST:5000 or sqlite:///mlflow.db "
                "(MLflow keeps no runs in plain folders any more)"
            )
        return value

    @property
    def trackers(self) -> tuple[str, ...]:
        """The fields that are given, by name."""
        return tuple(name for name, where in self if where is not None)

    def where(self, tracker: str) -> str:
        """One of them as messages name it: `log.tensorboard = 'runs'`."""
        return f"log.{tracker} = {getattr(self, tracker)!r}"

    @classmethod
    def from_dict(cls, fields: Mapping[str, str]) -> "Log":
        """These trackers. Raises SpecError in one line."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise SpecError(f"log.{first_error(error, cls, 'log')}") from error


def as_log(value: Unchecked | Log) -> Unchecked | Log:
    """Raises ValueError for anything but a mapping."""
    if not isinstance(value, dict | Log):
        raise ValueError(
            "{tensorboard: FOLDER, mlflow: URI, wandb: PROJECT} or a part is accepted, or none"
        )
    return value
