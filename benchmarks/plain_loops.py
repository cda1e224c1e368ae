"""Fixed recipes, and the loops without lrsearch that throughput.py sets beside it.

Both loops take lrsearch's data order and its schedules, so that they train the same weights.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

import lrsearch
from lrsearch import Recipe, StudySpec
from lrsearch.training.data import VALIDATION_FACTOR, epoch_order

#: Learning rates of the recipes, lowest and highest: high enough to learn, low enough that none of
#: the zoo's models diverges.
SGD_LR, ADAMW_LR = (3e-3, 6e-2), (3e-4, 6e-3)
#: What the recipes with AdamW take in turn.
ADAMW_SCHEDULES: tuple[dict[str, Any], ...] = (
    {"schedule": {"name": "constant"}},
    {"schedule": {"name": "one_cycle"}},
    {"schedule": {"name": "linear"}},
    {"schedule": {"name": "step", "step_size": 0.4, "gamma": 0.3}},
    {"schedule": {"name": "cosine"}, "warmup": 0.05},
    {"schedule": {"name": "wsd"}},
)


def recipes(spec: StudySpec, trials: int) -> list[Recipe]:
    """SGD with momentum and cosine in turn with AdamW and another schedule, each with its own lr.

    As the study trains them: with the weight average, and torch's fused optimizers.
    """
    made = []
    for number in range(trials):
        place = number / max(1, trials - 1)
        if number % 2 == 0:
            lr = SGD_LR[0] * (SGD_LR[1] / SGD_LR[0]) ** place
            fields: dict[str, Any] = {
                "optimizer": {"name": "sgd", "lr": lr, "momentum": 0.9},
                "schedule": {"name": "cosine"},
            }
        else:
            lr = ADAMW_LR[0] * (ADAMW_LR[1] / ADAMW_LR[0]) ** place
            fields = {
                "optimizer": {"name": "adamw", "lr": lr, "weight_decay": 0.01},
                **ADAMW_SCHEDULES[number // 2 % len(ADAMW_SCHEDULES)],
            }
        fields["optimizer"]["fused"] = True
        made.append(spec.recipe(fields, batch_size=None))
    return made


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is trained, and on what."""

    task: lrsearch.Task
    recipes: Sequence[Recipe]
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        return len(self.task.train[0]) // self.task.batch_size


class EpochSampler(Sampler[int]):
    """torch's RandomSampler, but with the order that lrsearch has for the seed and the epoch."""

    def __init__(self, samples: int, seed: int) -> None:
        self.samples, self.seed, self.epoch = samples, seed, 0

    def __len__(self) -> int:
        return self.samples

    def __iter__(self) -> Iterator[int]:
        yield from epoch_order(self.samples, self.seed, self.epoch).tolist()


def usual(work: Work) -> list[float]:
    """As the tutorials of Optuna and torch have it. The last validation loss of each recipe.

    The sampler is asked and told, but the fixed recipe is trained, to its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    return [usual_trial(work, recipe, study.ask(), study) for recipe in work.recipes]


def usual_trial(work: Work, recipe: Recipe, trial: optuna.Trial, study: optuna.Study) -> float:
    trial.suggest_categorical("optimizer", ["sgd", "adamw"])
    trial.suggest_float("lr", 1e-4, 1.0, log=True)
    trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    task, device, loss_value = work.task, work.device, math.nan
    own = {"generator": torch.Generator()}  # leaves the model's random stream alone
    sampler = EpochSampler(len(task.train[0]), recipe.seed)
    train = DataLoader(
        TensorDataset(*task.train),
        batch_size=task.batch_size,
        sampler=sampler,
        drop_last=True,
        **own,
    )
    validation = DataLoader(
        TensorDataset(*task.validation), batch_size=task.batch_size * VALIDATION_FACTOR, **own
    )
    torch.manual_seed(recipe.seed)
    model = task.model().to(device)
    plain = recipe.model_copy(update={"optimizer": {**recipe.optimizer, "fused": False}})
    optimizer, scheduler = plain.build(model, steps_per_epoch=len(train))
    for epoch in range(recipe.epochs or 0):
        sampler.epoch = epoch
        model.train()
        running_loss = 0.0
        for inputs, targets in train:
            inputs, targets = inputs.to(device), targets.to(device)
            optimizer.zero_grad()
            loss = task.loss(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
            running_loss += loss.item()
        loss_value = usual_validation(model, task, validation, device)
        trial.report(loss_value, epoch)
    study.tell(trial, loss_value if math.isfinite(loss_value) else 1e9)
    return loss_value


@torch.no_grad()
def usual_validation(
    model: nn.Module, task: lrsearch.Task, loader: "DataLoader[Any]", device: torch.device
) -> float:
    model.eval()
    totals = dict.fromkeys(["", *task.metrics], 0.0)
    samples = 0
    for inputs, targets in loader:
        inputs, targets = inputs.to(device), targets.to(device)
        output = model(inputs)
        totals[""] += task.loss(output, targets).item() * len(targets)
        for name, metric in task.metrics.items():
            totals[name] += float(metric(output, targets)) * len(targets)
        samples += len(targets)
    return totals[""] / samples


def best_solo(work: Work) -> list[float]:
    """The best one-by-one loop one could write: tensors indexed, fused optimizers, no `.item()`
    within an epoch. The last validation loss of each recipe.
    """
    splits = [tuple(t.to(work.device) for t in s) for s in (work.task.train, work.task.validation)]
    return [best_trial(work, recipe, splits) for recipe in work.recipes]


def best_trial(work: Work, recipe: Recipe, splits: Sequence[tuple[Tensor, ...]]) -> float:
    task, size, loss_value = work.task, work.task.batch_size, math.nan
    (inputs, targets), validation = splits
    torch.manual_seed(recipe.seed)
    model = task.model().to(work.device)
    optimizer, scheduler = recipe.build(model, steps_per_epoch=work.steps_per_epoch)
    for epoch in range(recipe.epochs or 0):
        model.train()
        order = epoch_order(len(inputs), recipe.seed, epoch).to(work.device)
        running_loss = torch.zeros((), device=work.device)
        for start in range(0, work.steps_per_epoch * size, size):
            index = order[start : start + size]
            optimizer.zero_grad()
            loss = task.loss(model(inputs.index_select(0, index)), targets.index_select(0, index))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
            running_loss += loss.detach()
        running_loss.item()
        loss_value = best_validation(model, task, validation)
    return loss_value


@torch.no_grad()
def best_validation(model: nn.Module, task: lrsearch.Task, split: tuple[Tensor, ...]) -> float:
    model.eval()
    inputs, targets = split
    size = task.batch_size * VALIDATION_FACTOR
    scores = [task.loss, *task.metrics.values()]
    totals = torch.zeros(len(scores), dtype=torch.float64, device=inputs.device)
    for start in range(0, len(inputs), size):
        target = targets[start : start + size]
        output = model(inputs[start : start + size])
        for i, score in enumerate(scores):
            totals[i] += score(output, target) * len(target)
    return float((totals / len(inputs)).tolist()[0])
