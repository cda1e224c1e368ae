"""A first look at whether a task can train, before a study is made."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree

from lrsearch.errors import TaskError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import initial_state, training_loss
from lrsearch.training.data import (
    Data,
    check_repeats,
    make_splits,
    make_test,
    tensors_in,
    to_device,
    validation_samples,
)
from lrsearch.training.first_step import batches, layers, loss_calls
from lrsearch.training.first_step.batch_dependence import batch_dependence
from lrsearch.training.first_step.fields import check_fields
from lrsearch.training.first_step.loss_calls import LossCall, LossCalls
from lrsearch.training.first_step.models import check_new, check_only_read
from lrsearch.training.first_step.values import attempt, check_scalar, check_values
from lrsearch.training.first_step.words import words
from lrsearch.training.model import make_model
from lrsearch.training.precision import autocast
from lrsearch.training.start import scored, steps_per_epoch


@dataclass(frozen=True, kw_only=True)
class FirstLook:
    """What the first batches of a task have shown."""

    #: Optimizer steps of an epoch.
    steps_per_epoch: int
    #: What trains, but hardly as it was meant, one line each.
    warnings: tuple[str, ...]
    #: What was assumed, one line each.
    notes: tuple[str, ...]
    #: Of a validation; None where no part of these can be taken.
    validation_samples: int | None
    #: Classes that a validation sample is to be assigned: one, or one for each of its places.
    labels: float


def try_task(task: Task, spec: StudySpec, device: torch.device) -> FirstLook:
    """One batch forward and backward, every metric, and a look at the first batches.

    The model is made twice, and the two may share no weights. The test set is made, and no sample
    of it looked at. All else is computed in the study's precision. Raises TaskError in one line for
    what would make every trial fail, or its comparison with others worthless.
    """
    check_fields(task)
    batches.check_sources(task)
    if task.test is not None:
        make_test(task, task.batch_size, torch.device("cpu"))
    train, validation = make_splits(task, task.batch_size, device, spec.accumulate)
    steps = steps_per_epoch(train, spec.accumulate)
    seen = {which: batches.first_batches(data, which) for which, data in _splits(train, validation)}
    for which, found in seen.items():
        batches.check_batch(task, found[0], which)
    check_repeats(train, validation)
    model = make_model(task, device)
    shared = check_new(task, model)
    trial = _Trial(task, model, spec, device)
    of_loss = trial.train(seen["train"][0])
    warnings = [*of_loss, *trial.doubts(seen)]
    check_only_read(shared)
    model.eval()
    with torch.no_grad(), autocast(spec.precision, device):
        notes = check_values(task, spec, model, seen["validation"][0])
    if not of_loss:  # else it may depend on the batches for the reason that was found
        warnings += batch_dependence(
            scored(task, spec), validation, model, device, lambda: autocast(spec.precision, device)
        )
    # What is carried from batch to batch would be that of other batches.
    whole = None if task.carry is not None else validation_samples(validation)
    return FirstLook(
        steps_per_epoch=steps,
        warnings=tuple(warnings),
        notes=tuple(notes),
        validation_samples=whole,
        labels=labels_each(task, seen["validation"][0]),
    )


def labels_each(task: Task, batch: PyTree) -> float:
    """Labels of a sample: 64 of a text of 64 characters. 1 where targets are no integers."""
    if task.loss is None:
        return 1.0
    targets = [target for target in tensors_in(batch[1]) if target.ndim]
    if not targets or targets[0].is_floating_point() or targets[0].dtype == torch.bool:
        return 1.0
    return max(1.0, targets[0].numel() / max(1, len(targets[0])))


def _splits(train: Data, validation: Data) -> Iterator[tuple[str, Data]]:
    yield from (("train", train), ("validation", validation))


@dataclass(frozen=True)
class _Trial:
    """A model in its first training step, and what is seen of it."""

    task: Task
    model: nn.Module
    spec: StudySpec
    device: torch.device

    def train(self, batch: PyTree) -> list[str]:
        """A step forward and backward; doubts about the loss. Raises TaskError."""
        with autocast(self.spec.precision, self.device):
            loss, calls = self._loss(batch)
            doubts = list(loss_calls.doubts(calls))
            doubts += self._shapes(batch, calls)
        self._check_labels(calls)
        check_scalar(loss, "the loss")
        if not loss.requires_grad:
            raise TaskError(
                "the loss does not depend on the model's weights; is it detached? Leave .detach(), "
                ".item() and torch.no_grad() out of it"
            )
        attempt(loss.backward, "the backward pass", lambda: loss_calls.integer_targets(calls))
        value = float(loss.detach())
        if not math.isfinite(value):
            where = next((line for _, line in batches.not_finite([batch], "train")), None)
            raise TaskError(
                f"the loss of the first batch is {value}: {where or 'its data are finite'}; "
                + ("mend the data or leave these samples out" if where else "mend the loss")
            )
        return list(dict.fromkeys(doubts))

    def _loss(self, batch: PyTree) -> tuple[Tensor, list[LossCall]]:
        """The loss of a batch. Raises TaskError that says which part of the task failed."""
        task, model = self.task, self.model
        watch = LossCalls()
        if task.loss is None:
            what = "the task's model" if task.step is None else "step"

            def step() -> Tensor:
                return training_loss(task, model, batch, initial_state(task, model))[0]

            def found() -> str | None:
                failed = loss_calls.remedy(watch.calls[-1]) if watch.calls else None
                return failed or layers.remedy(model, step) or f"the batch is {words(batch)}"

            with watch:
                loss = attempt(step, what, found)
            return loss, watch.calls
        inputs, targets = batch
        output = attempt(
            lambda: model(inputs), "the model", lambda: layers.remedy(model, lambda: model(inputs))
        )
        with watch:
            loss = attempt(
                lambda: task.loss(output, targets),  # type: ignore[misc]
                "the loss",
                lambda: self._of_loss(watch.calls, output, targets),
            )
        return loss, watch.calls

    def _of_loss(self, calls: list[LossCall], output: PyTree, targets: PyTree) -> str:
        found = loss_calls.remedy(calls[-1]) if calls else None
        return found or f"it got outputs {words(output)} and targets {words(targets)}"

    def _check_labels(self, calls: list[LossCall]) -> None:
        """Raises TaskError for a label, in any of the tensors, that is no class of the model."""
        sources = {"train": self.task.train, "validation": self.task.validation}
        of_classes = [call for call in calls if call.name in loss_calls.CLASS_LOSSES]
        for call in of_classes if self.task.loss is not None else []:
            classes = call.classes()
            for which, source in sources.items():
                tensors = batches.tensors_of(source)
                if classes is None or len(tensors) != 2 or tensors[1].is_floating_point():
                    continue
                fault = loss_calls.labels_out_of_range(tensors[1], classes, call.ignore_index)
                if fault is not None:
                    raise TaskError(f"{which}: {call.name} {fault}")

    def _shapes(self, batch: PyTree, calls: list[LossCall]) -> list[str]:
        if self.task.loss is None or calls:
            return []
        with torch.no_grad():
            doubt = loss_calls.broadcasts(self.task.loss, self.model(batch[0]), batch[1])
        return [] if doubt is None else [doubt]

    def doubts(self, seen: dict[str, list[PyTree]]) -> list[str]:
        """Doubts about the data. Raises TaskError where a loss is not finite because of them."""
        found = []
        for which, some in seen.items():
            bad = [(some[number], line) for number, line in batches.not_finite(some, which)]
            if (row := batches.batch_with_bad_row(self.task, which)) is not None:
                bad = [row]
            for batch, line in bad[:1]:
                with torch.no_grad(), autocast(self.spec.precision, self.device):
                    loss, _ = self._loss(to_device(batch, self.device))
                if not math.isfinite(float(loss)):
                    raise TaskError(
                        f"{line}, and the loss is {float(loss)} there; mend the data or leave "
                        f"these samples out"
                    )
                found.append(f"{line}; the loss is finite all the same")
        same = batches.overlap(self.task)
        return found if same is None else [*found, same]
