"""An engine with places that trains one trial after another, step by step: slow, and equal to solo
to the last bit. What drives engines is tested with it; its task draws no random numbers."""

import os

import torch
from tiny_studies import TASKS, make_context, tiny_task
from torch import nn
from torch.nn.functional import mse_loss

from lrsearch.fusing.choice import Choice
from lrsearch.task.task import LoadedTask, Task
from lrsearch.training.engine import STEPS_PER_LOOK, SoloEngine
from lrsearch.training.start import start_training
from lrsearch.worker.tasks import choose_engine
from lrsearch.worker.training_loop import job_trainer
from lrsearch.worker.training_loop.job_trainer import JobTrainer

#: After its first step the outputs of `POISON` are beyond it, those of no sampled trial.
HUGE = 1e15
POISON = {"optimizer": {"name": "sgd", "lr": 1e30}, "schedule": {"name": "constant"}}


class SideBySide:
    """Places for `size` trials; those in it stand at the same position of an epoch."""

    name = "fused"
    steps_per_look = STEPS_PER_LOOK

    def __init__(self, spec, cache, recipe, size):
        self.spec, self.cache, self.recipe, self.size = spec, cache, recipe, size
        self.trainings = []
        #: Where the others stood when a trial was admitted.
        self.joined = []

    def takes(self, recipe):
        same = (recipe.params, recipe.batch_size) == (self.recipe.params, self.recipe.batch_size)
        return same and len(self.trainings) < self.size

    def may_join(self):
        return len(self.trainings) < self.size and not any(
            training.position for training in self.trainings
        )

    def may_join_later(self):
        return True

    def admit(self, recipe, purpose=None):
        self.joined.append([training.step for training in self.trainings])
        self.trainings.append(start_training(self.spec, recipe, self.cache))
        return self.trainings[-1]

    def fits(self, training):
        return len({other.position for other in self.trainings}) == 1

    def advance(self, steps):
        for _ in range(steps):
            for training in self.trainings:
                training.advance(training.step + 1)
            if self.trainings[0].position == 0 or any(
                s.is_due or s.diverged for s in self.trainings
            ):
                return

    def due(self):
        return [training for training in self.trainings if training.is_due]

    def validate(self, trainings, *, with_ema):
        return [training.validate(with_ema=with_ema(training)) for training in trainings]

    def drop(self, training):
        self.trainings = [kept for kept in self.trainings if kept is not training]

    def shrink(self):
        self.size = max(2, len(self.trainings))

    def close(self):
        pass


def engine_for(context, choice, recipe):
    if choice.engine == "solo":
        return SoloEngine(context.search.spec, context.program.cache)
    return SideBySide(context.search.spec, context.program.cache, recipe, choice.size)


def choice_of(size):
    engine = "fused" if size > 1 else "solo"
    # So much faster together that the last of a cohort stay there.
    timings = {1: 1.0, size: 0.01}
    return Choice(engine=engine, size=size, reason="a test says so", timings=timings)


def train_together(size, make=engine_for):
    """From now on workers of this process train so many trials at once, in such engines."""
    choose_engine.choose = lambda *arguments, **keywords: choice_of(size)
    job_trainer.engine_for = make


def make_crew(search, size, loaded=None, **context):
    return JobTrainer(make_context(search, loaded or calm_task(), **context), choice_of(size))


def calm_task(loss=mse_loss):
    """The tiny task without dropout, in float64."""
    tiny = tiny_task().make()

    def model():
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).double()

    sets = {
        name: tuple(part.double() for part in getattr(tiny, name))
        for name in ("train", "validation")
    }
    task = Task(**{**vars(tiny), **sets, "model": model, "loss": loss})
    return LoadedTask(reference="tiny.py:task", source=TASKS / "tiny.py", target=task, code={})


def is_poison(output):
    return bool(torch.nan_to_num(output.detach(), nan=HUGE).abs().max() >= HUGE)


def killing_loss(output, target):
    """Ends the process of whoever trains `POISON`."""
    if is_poison(output):
        os._exit(9)
    return mse_loss(output, target)


def raising_loss(output, target):
    if is_poison(output):
        raise ValueError("the output is huge")
    return mse_loss(output, target)
