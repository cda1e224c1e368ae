"""The trackers that a study names: whether their packages are here, and the trackers themselves."""

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from lrsearch.errors import SpecError
from lrsearch.loggers.run import Tracker
from lrsearch.spec.log import Log

#: Modes of W&B that need no login.
OFFLINE = ("offline", "disabled", "dryrun")


def check_trackers(log: Log) -> None:
    """Raises SpecError in one line where a tracker's package, folder or login is missing here."""
    for name in log.trackers:
        if find_spec(name) is None:
            raise SpecError(
                f"log.{name}: the package {name} is not installed; pip install 'lrsearch[{name}]'"
            )
    if log.tensorboard is not None:
        _check_folder(Path(log.tensorboard))
    if log.wandb is not None:
        _check_login()


def tracker(log: Log, name: str) -> Callable[[], Tracker]:
    """What makes one of `log.trackers`; it may ask a server.

    Its package is imported here, which takes seconds: by the thread that trains, as of two threads
    that import at once one may see modules half made.
    """
    match name:
        case "tensorboard":
            from lrsearch.loggers.tensorboard import TensorboardTracker

            return partial(TensorboardTracker, log.tensorboard or "")
        case "mlflow":
            from lrsearch.loggers.mlflow import MlflowTracker

            return partial(MlflowTracker, log.mlflow or "")
        case _:
            from lrsearch.loggers.wandb import WandbTracker

            return partial(WandbTracker, log.wandb or "")


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(
            f"log.tensorboard = {str(folder)!r}: no folder can be made there ({error.strerror}); "
            f"name one that this user may write"
        ) from error
    if not os.access(folder, os.W_OK):
        raise SpecError(
            f"log.tensorboard = {str(folder)!r}: this user may not write there; name another folder"
        )


def _check_login() -> None:
    """Finds a login that is certainly missing; which of a netrc file's W&B takes, it says later."""
    import wandb

    settings = wandb.setup().settings
    if settings.mode in OFFLINE or settings.api_key or settings.identity_token_file:
        return
    if not Path(os.environ.get("NETRC") or "~/.netrc").expanduser().is_file():
        raise SpecError(
            "log.wandb: no API key for W&B is found here; run `wandb login`, or set "
            "WANDB_API_KEY, or WANDB_MODE=offline to keep the runs in ./wandb"
        )
