"""Ramps of the LR range test, old rule and new, on tasks: steps, edge, and share of a 5x budget.

The old rule: from a hundredth of the lowest lr of the range by a factor of 1.15 to ten times the
highest, ended by three losses above four times the start; its edge is where a running median of
five has climbed back half of its fall. range_test.py prints the table.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim.lr_scheduler import ExponentialLR

import lrsearch
from lrsearch import StudySpec
from lrsearch.catalog.domains import Range
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.range_test.plan import ramp_plan
from lrsearch.recipe.parameter_groups import recipe_lr
from lrsearch.task.task import LoadedTask
from lrsearch.training.range_test import RangeTraining, start_ramp
from lrsearch.training.task_cache import TaskCache
from lrsearch.trial.divergence import above

sys.path.insert(0, str(Path(__file__).parent / "portfolio"))
import tasks as recorded

TESTED = ("sgd", "adamw", "rmsprop")
#: The budget that the cost is a share of, in runs.
RUNS = 5
OLD_FACTOR, OLD_START, OLD_STOP = 1.15, 10, 4.0


@dataclass(frozen=True, kw_only=True)
class Row:
    task: str
    optimizer: str
    rule: str
    #: Of each seed, all ramps together.
    steps: tuple[int, ...]
    edges: tuple[float | None, ...]
    #: Of RUNS trainings' epochs, for one optimizer; mean of the seeds.
    share: float


def digits(scale: float = 1.0, hidden: Sequence[int] = (64,)) -> lrsearch.Task:
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    inputs = torch.tensor(scale * pixels / 16, dtype=torch.float32)
    return _split(inputs, torch.tensor(classes), (64, *hidden, 10), cross_entropy)


def diabetes() -> lrsearch.Task:
    """In raw units: ages in years, blood values, a target of some hundreds."""
    from sklearn.datasets import load_diabetes

    values, targets = load_diabetes(return_X_y=True, scaled=False)
    inputs = torch.tensor(values, dtype=torch.float32)
    return _split(
        inputs, torch.tensor(targets, dtype=torch.float32)[:, None], (10, 32, 1), mse_loss
    )


def _split(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    widths: Sequence[int],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> lrsearch.Task:
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    train, validation = order[len(order) // 4 :], order[: len(order) // 4]

    def model() -> nn.Module:
        layers: list[nn.Module] = []
        for width, following in pairwise(widths):
            layers += [nn.Linear(width, following), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return lrsearch.Task(
        model=model,
        train=(inputs[train], targets[train]),
        validation=(inputs[validation], targets[validation]),
        loss=loss,
        batch_size=32,
    )


#: Name to task and the epochs of a training.
TASKS: Mapping[str, tuple[Callable[[], lrsearch.Task], int]] = {
    "digits": (digits, 30),
    "digits, inputs x 100": (lambda: digits(100.0), 30),
    "digits, thin and deep": (lambda: digits(hidden=(16,) * 9), 30),
    "diabetes, raw units": (diabetes, 60),
    **{
        name: (getattr(recorded, name), recorded.EPOCHS[name])
        for name in ("wine_raw", "ill_conditioned", "shapes_batchnorm", "clusters_wide")
    },
    **{
        name: (getattr(recorded, name), recorded.EPOCHS[name])
        for name in ("patch_autoencoder", "licence_transformer", "source_gru")
    },
}


def rows(names: Sequence[str], seeds: int) -> Iterator[Row]:
    for name in names:
        make, epochs = TASKS[name]
        loaded = LoadedTask(reference="", source=Path(), target=make(), code={})
        cache = TaskCache(loaded, torch.device("cpu"))
        for optimizer in TESTED:
            for rule, ramp in (("old", _old), ("new", _new)):
                found = [
                    ramp(_spec(optimizer, epochs, seed), optimizer, cache) for seed in range(seeds)
                ]
                share = fmean(each[2] for each in found) / (RUNS * epochs)
                steps, edges, _ = zip(*found, strict=True)
                yield Row(
                    task=name, optimizer=optimizer, rule=rule, steps=steps, edges=edges, share=share
                )


def _spec(optimizer: str, epochs: int, seed: int) -> StudySpec:
    space = {"optimizers": [optimizer]}
    content = {"name": "a", "task": "a.py:b", "epochs": epochs, "budget": {"runs": RUNS}}
    return StudySpec.from_dict({**content, "space": space, "seed": seed})


def _new(spec: StudySpec, optimizer: str, cache: TaskCache) -> tuple[int, float | None, float]:
    """Steps, edge and epochs of the product's own test with one seed."""
    training = RangeTraining(spec, ramp_plan(spec, optimizer), cache, lambda: False)
    result = training.run(1)
    assert result is not None
    per_epoch = start_ramp(spec, training.plan, cache, seed=0).plan.steps_per_epoch
    edge = None if result.edge is None else result.edge.median
    return round(training.epochs * per_epoch), edge, training.epochs


def _old(spec: StudySpec, optimizer: str, cache: TaskCache) -> tuple[int, float | None, float]:
    domain = OPTIMIZERS[optimizer].ranges["lr"]
    assert isinstance(domain, Range)
    low, high = domain.low / 100, domain.high * 10
    steps = 1 + math.ceil(math.log(high / low) / math.log(OLD_FACTOR))
    lrs = tuple(low * OLD_FACTOR**step for step in range(steps))
    plan = ramp_plan(spec, optimizer)
    training = start_ramp(
        spec, type(plan)(optimizer=plan.optimizer, lrs=lrs), cache, seed=spec.seed
    )
    training.scheduler = ExponentialLR(training.optimizer, gamma=OLD_FACTOR)
    seen: list[float] = []
    losses: list[float] = []
    total = 0.0
    while not training.done and not _old_end(losses):
        seen.append(recipe_lr(training.optimizer))
        training.advance(training.step + 1)
        before, total = total, float(training.loss_sum)
        losses.append(total - before if math.isfinite(total) else math.inf)
    return len(losses), _old_edge(seen, losses), training.epochs


def _old_end(losses: Sequence[float]) -> bool:
    if losses and not math.isfinite(losses[-1]):
        return True
    last = losses[OLD_START:][-3:]
    return len(last) == 3 and min(last) > above(fmean(losses[:OLD_START]), OLD_STOP)


def _old_edge(lrs: Sequence[float], losses: Sequence[float]) -> float | None:
    curve = [median(losses[max(0, i - 2) : i + 3]) for i in range(len(losses))]
    bottom = min(curve)
    limit = bottom + (fmean(losses[:OLD_START]) - bottom) / 2
    start = curve.index(bottom) + 1
    climbed = (lr for lr, loss in zip(lrs[start:], curve[start:], strict=True) if not loss <= limit)
    return next(climbed, None if math.isfinite(losses[-1]) else lrs[-1])


def table(found: Sequence[Row]) -> str:
    lines = [
        f"Ramps, old rule and new: mean steps, edge of each seed, share of {RUNS} runs",
        f"{'task':23}{'optimizer':10}{'rule':5}{'steps':>6}{'share':>7}  edges",
    ]
    for row in found:
        edges = "  ".join("none" if edge is None else f"{edge:.2g}" for edge in row.edges)
        lines.append(
            f"{row.task:23}{row.optimizer:10}{row.rule:5}{fmean(row.steps):6.0f}"
            f"{row.share:7.1%}  {edges}"
        )
    return "\n".join(lines)
