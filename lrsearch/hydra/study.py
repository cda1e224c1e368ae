"""The study of a command that a multirun of Hydra describes."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig, OmegaConf

from lrsearch.errors import SpecError
from lrsearch.hydra.job import FILE
from lrsearch.plain_data import Document, Unchecked

#: Names of a learning rate, the last word of its key.
LR_WORDS = ("lr", "learning_rate")
_CALLBACK = "lrsearch.hydra.job.ReturnValue"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What stands under `hydra.sweeper` beside `params`; see `docs/howto/hydra.md`."""

    metric: str = "val_loss"
    direction: str = "minimize"
    name: str | None = None
    #: Budget, in full trainings.
    runs: int = 20
    #: Keys of the user's configuration.
    lr: str | None = None
    weight_decay: str | None = None
    momentum: str | None = None
    seed: str | None = None
    epochs: str | None = None
    #: As in a study file; None: what `lrsearch.hydra.report` writes.
    report: Mapping[str, str] | None = None
    resume_args: Sequence[str] = ()
    #: Further fields of the study file, such as `pruning`.
    study: Document = field(default_factory=dict)


def study_of(
    settings: Settings, overrides: Sequence[Override], config: DictConfig, program: Sequence[str]
) -> Document:
    """The study file's content. `program`: the words that start the user's script.

    Raises SpecError where nothing is searched, the learning rate is not found, or a key is none.
    """
    swept = [override for override in overrides if override.is_sweep_override()]
    keys = _fields(settings, [override.get_key_element() for override in swept])
    domains = {keys[o.get_key_element()]: _domain(o) for o in swept}
    words = [_escaped(o.input_line) for o in overrides if not o.is_sweep_override()]
    words += [f"{_escaped(key)}={{{name}}}" for key, name in keys.items()]
    words += [f"{settings.seed}={{seed}}"] if settings.seed else []
    words += [f"{settings.epochs}={{epochs}}"] if settings.epochs else []
    words += _hydra_words(settings.metric)
    made: Document = {
        "command": [*map(_escaped, program), *words],
        "report": settings.report or {"json_lines": f"{{dir}}/{FILE}"},
        "objective": {"metric": settings.metric, "direction": settings.direction},
        **({"epochs": _epochs(settings.epochs, config)} if settings.epochs else {}),
        **({"resume_args": list(settings.resume_args)} if settings.resume_args else {}),
        "space": _space(domains),
        "confirm": "auto" if settings.seed else "none",
        **settings.study,
    }
    name = settings.name or _name(str(config.hydra.job.name), made)
    return {"name": name, **made, "budget": {"runs": settings.runs}}


def _fields(settings: Settings, keys: Sequence[str]) -> dict[str, str]:
    """The placeholder of each searched key: `optimizer.lr` of `optim.lr`."""
    if not keys:
        raise SpecError(
            "hydra.sweeper.params has nothing to search; write "
            "params: {optim.lr: 'tag(log, interval(1e-4, 1e-1))'}"
        )
    plain = [key.lstrip("+") for key in keys]
    named = {
        settings.lr or _lr(plain): "optimizer.lr",
        settings.weight_decay: "optimizer.weight_decay",
        settings.momentum: "optimizer.momentum",
    }
    for key in named:
        if key is not None and key not in plain:
            raise SpecError(
                f"hydra.sweeper names {key}, but it is not searched: {', '.join(plain)}"
            )
    last = [key.rpartition(".")[2] for key in plain]
    fields = {}
    for key, short, written in zip(plain, last, keys, strict=True):
        name = short if last.count(short) == 1 else key
        fields[written] = named.get(key, f"params.{re.sub(r'[^0-9A-Za-z_]', '_', name)}")
    return fields


def _lr(keys: Sequence[str]) -> str:
    found = [key for key in keys if key.rpartition(".")[2] in LR_WORDS]
    if len(found) != 1:
        said = "none of the searched keys" if not found else " and ".join(found)
        raise SpecError(
            f"{said} is called {' or '.join(LR_WORDS)}; name the key of the learning rate: "
            f"hydra.sweeper.lr={keys[0]}"
        )
    return found[0]


def _domain(override: Override) -> Unchecked:
    """As a study file has it."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        log = {"log": True} if "log" in value.tags else {}
        return {"low": value.start, "high": value.end, **log}
    texts = list(override.sweep_string_iterator())
    values = list(override.sweep_iterator())
    return {"choices": [_choice(*pair) for pair in zip(values, texts, strict=True)]}


def _choice(value: Unchecked, text: str) -> Unchecked:
    """A number or a boolean as itself, anything else in Hydra's words for it."""
    return value if isinstance(value, int | float) else text


def _space(domains: Mapping[str, Unchecked]) -> Document:
    owned: Mapping[str, Document] = {"optimizer": {}, "params": {}}
    for placeholder, domain in domains.items():
        owner, _, name = placeholder.partition(".")
        owned[owner][name] = domain
    of_optimizer, params = owned.values()
    space: Document = {"optimizers": {"script": of_optimizer}, "schedules": "script"}
    return {**space, "params": params} if params else space


def _epochs(key: str, config: DictConfig) -> int:
    value = OmegaConf.select(config, key)
    if not isinstance(value, int) or value < 1:
        raise SpecError(
            f"hydra.sweeper.epochs = {key!r} names the key of the epochs, but its value is "
            f"{value!r}; a whole number is needed there"
        )
    return value


def _hydra_words(metric: str) -> list[str]:
    """How a job of the study runs: alone, in the trial's folder."""
    return [
        "hydra.mode=RUN",
        "hydra.run.dir='{dir}'",
        f"++hydra.callbacks.lrsearch._target_={_CALLBACK}",
        f"++hydra.callbacks.lrsearch.metric='{_escaped(metric)}'",
    ]


def _escaped(text: str) -> str:
    """The text as it stands in a command with placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def _name(job: str, made: Document) -> str:
    """The job's and a hash of what makes a trial: another search is another study."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", job).strip("-._") or "hydra"
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return f"{plain[:80]}-{digest[:6]}"
