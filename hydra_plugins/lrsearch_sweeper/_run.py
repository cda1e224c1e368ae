"""From a multirun to the answer of its study."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from lrsearch.cli import options
from lrsearch.cli.run import search
from lrsearch.hydra.study import Settings, study_of
from lrsearch.user_input import to_yaml
from lrsearch.worker.resources import Resources

#: Overrides of Hydra's own that are the multirun's, and not its jobs'.
_OF_SWEEP = ("hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher", "hydra.sweep")


def search_with(
    settings: Settings,
    overrides: Sequence[Override],
    config: DictConfig,
    *,
    storage: str | None,
    workers: int | None,
    device: str,
) -> None:
    """Run the study that these settings and overrides describe, and print the answer.

    Raises LrsearchError.
    """
    document = study_of(settings, overrides, config, _program(config))
    path = Path(config.hydra.sweep.dir).absolute() / "study.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# Written by hydra/sweeper=lrsearch.\n{to_yaml(document)}", encoding="utf-8")
    resources = Resources(workers=workers, device=device)
    with resources.forks:
        checked = options.trained_file(path, resources=resources, storage=storage)
        search(checked, resources, out=None, as_json=False, storage=storage)


def _program(config: DictConfig) -> list[str]:
    """The words that start the user's script again, with its configuration."""
    main = sys.modules["__main__"]
    spec = main.__spec__
    script = ["-m", spec.name] if spec is not None else [str(Path(sys.argv[0]).absolute())]
    hydra = config.hydra
    words = [sys.executable, "-u", *script]
    for source in hydra.runtime.config_sources:
        if source.schema == "file" and source.provider == "main":
            words.append(f"--config-path={source.path}")
        elif source.schema == "file" and source.provider == "command-line":
            words.append(f"--config-dir={source.path}")
    if hydra.job.config_name is not None:
        words.append(f"--config-name={hydra.job.config_name}")
    own = [word for word in hydra.overrides.hydra if not word.lstrip("+~").startswith(_OF_SWEEP)]
    return [*words, *(word for word in own if not word.startswith("hydra.mode"))]
