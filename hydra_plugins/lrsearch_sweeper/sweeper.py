"""`hydra/sweeper=lrsearch`: a multirun that searches, prunes, goes on and confirms.

Hydra imports this module in every application where lrsearch is installed, so it imports little.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class LrsearchSweeperConf:
    """What stands under `hydra.sweeper`; `lrsearch.hydra.study.Settings` says what it means."""

    _target_: str = "hydra_plugins.lrsearch_sweeper.sweeper.LrsearchSweeper"
    params: dict[str, str] = field(default_factory=dict)
    metric: str = "val_loss"
    direction: str = "minimize"
    name: str | None = None
    runs: int = 20
    lr: str | None = None
    weight_decay: str | None = None
    momentum: str | None = None
    seed: str | None = None
    epochs: str | None = None
    report: dict[str, str] | None = None
    resume_args: list[str] = field(default_factory=list)
    study: dict[str, Any] = field(default_factory=dict)
    storage: str | None = None
    workers: int | None = None
    device: str = "auto"


ConfigStore.instance().store(
    group="hydra/sweeper", name="lrsearch", node=LrsearchSweeperConf, provider="lrsearch"
)


class LrsearchSweeper(Sweeper):
    """Makes a study of the multirun, whose trials run the same script by the same overrides."""

    def __init__(
        self,
        params: dict[str, str],
        storage: str | None,
        workers: int | None,
        device: str,
        **settings: Any,
    ) -> None:
        self._params, self._settings = params, settings
        self._storage, self._workers, self._device = storage, workers, device

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = None

    def sweep(self, arguments: Sequence[str]) -> None:
        """Train the study until its budget is used, and print the answer."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import CompactHydraException
        from omegaconf import OmegaConf

        from lrsearch.errors import LrsearchError
        from lrsearch.hydra.study import Settings

        from ._run import search_with

        given = [f"{key}={value}" for key, value in self._params.items()]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        # What the command line says of a key wins over `hydra.sweeper.params`.
        parsed = parser.parse_overrides([*given, *arguments])
        overrides = list({override.key_or_group: override for override in parsed}.values())
        plain = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in self._settings.items()
        }
        try:
            search_with(
                Settings(**plain),
                overrides,
                self.config,
                storage=self._storage,
                workers=self._workers,
                device=self._device,
            )
        except LrsearchError as error:
            raise CompactHydraException(str(error)) from error
