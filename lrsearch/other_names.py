"""What other tools call the things that a study file names."""

from collections.abc import Mapping

from lrsearch.plain_data import Unchecked

#: Names of torch, Keras, transformers and timm for schedules, and the names here.
SCHEDULES: Mapping[str, str] = {
    "CosineAnnealingLR": "cosine",
    "cosine_annealing": "cosine",
    "cosine_decay": "cosine",
    "CosineAnnealingWarmRestarts": "cosine_restarts",
    "cosine_with_restarts": "cosine_restarts",
    "StepLR": "step",
    "MultiStepLR": "multistep",
    "ExponentialLR": "exponential",
    "LinearLR": "linear",
    "PolynomialLR": "polynomial",
    "ReduceLROnPlateau": "plateau",
    "reduce_on_plateau": "plateau",
    "CyclicLR": "cyclic",
    "OneCycleLR": "one_cycle",
    "onecycle": "one_cycle",
    "1cycle": "one_cycle",
    "ConstantLR": "constant",
    "none": "constant",
    "warmup_stable_decay": "wsd",
    "trapezoidal": "wsd",
}
#: Names of export formats, earlier ones included, and the names here.
FORMATS: Mapping[str, str] = {
    "shell": "command",
    "sh": "command",
    "yml": "yaml",
    "python": "torch",
    "pytorch": "torch",
    "hf": "transformers",
    "huggingface": "transformers",
    "pytorch-lightning": "lightning",
    "pytorch_lightning": "lightning",
}
#: Fields that people write into a study file, and what they have to write.
FIELDS: Mapping[str, str] = {
    "batch_size": "write it in the Task, or search it: space: {params: {batch_size: [32, 64]}}",
    "device": "name it on the command line: --device cuda:0",
    "direction": "write objective: {metric: NAME, direction: maximize}",
    "learning_rate": "write space: {optimizers: {adamw: {lr: {low: 1e-4, high: 1e-2, log: true}}}}",
    "lr": "write space: {optimizers: {adamw: {lr: {low: 1e-4, high: 1e-2, log: true}}}}",
    "max_epochs": "write epochs",
    "max_steps": "write steps",
    "metric": "write objective: {metric: NAME, direction: maximize}",
    "model": "the model is the task's: task: FILE.py:attribute",
    "n_trials": "write budget: {trials: N}",
    "num_epochs": "write epochs",
    "optimizer": "write space: {optimizers: {NAME: {}}}",
    "optimizers": "write it under space",
    "params": "write it under space",
    "runs": "write budget: {runs: N}",
    "schedule": "write space: {schedules: {NAME: {}}}",
    "scheduler": "write space: {schedules: {NAME: {}}}",
    "schedules": "write it under space",
    "tokens": "write steps: so many tokens divided by those of a batch (and by accumulate)",
    "trials": "write budget: {trials: N}",
    "warmup": "write it under space",
    "weight_decay": "write it under space.optimizers.NAME",
    "workers": "give it on the command line: --workers N",
}


def schedule_of(name: Unchecked) -> str | None:
    """Our name of a schedule that another tool calls so, whatever its case and separators."""
    if not isinstance(name, str):
        return None
    return _SCHEDULES.get(_plain(name))


def _plain(name: str) -> str:
    return name.rpartition(".")[2].lower().replace("_", "").replace("-", "").replace(" ", "")


_SCHEDULES = {_plain(theirs): ours for theirs, ours in SCHEDULES.items()}
