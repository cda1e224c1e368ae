"""A run in training: what happens at a step, a loss, a report and the top of an epoch."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from lrsearch.errors import LrsearchError, TaskError
from lrsearch.own_loop.checkpoint import Checkpoint
from lrsearch.own_loop.hints import Hints
from lrsearch.own_loop.losses import NO_LOSS, Losses, RampReadings
from lrsearch.own_loop.messages import (
    Beat,
    Boundary,
    Built,
    Diverged,
    Finished,
    Readings,
    Report,
    Save,
    Saved,
    SaveModel,
)
from lrsearch.own_loop.model_weights import NO_MODEL, write_model
from lrsearch.own_loop.parameters import Given
from lrsearch.own_loop.progress import Progress
from lrsearch.own_loop.reports import Reports, numbers, require_objective
from lrsearch.own_loop.role import Role, make_role, untrained
from lrsearch.own_loop.session import Session
from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.training.randomness import validation_numbers


class Loop:
    """What a script's calls of `run` do, for one run of it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.roles: dict[str, Role] = {}
        self.progress = Progress()
        self.losses = Losses(session.device)
        #: Of a range test; None else.
        self.ramp = None if session.start.lrs is None else RampReadings(len(session.start.lrs))
        self.hints = Hints(session)
        self.reports = Reports()
        self.checkpoint = Checkpoint(session)
        self.checkpoint.keep("run.progress", self.progress, compared=False)
        self.checkpoint.keep("run.losses", self.losses)

    @property
    def main(self) -> Role | None:
        """The first role built: its steps are those of the run."""
        return next(iter(self.roles.values()), None)

    @property
    def step(self) -> int:
        return 0 if self.main is None else self.main.step

    @property
    def epochs(self) -> float:
        """Epochs trained so far."""
        if self.main is None:
            return float(self.progress.epoch + 1)
        return self.main.step / self.main.horizon.steps_per_epoch

    def recipe(self) -> Recipe:
        """Raises TaskError where the script is run alone and has none."""
        if self.session.recipe is None:
            raise TaskError(
                "no recipe for this run; give it --recipe FILE, or LRSEARCH_RECIPE=FILE, or put a "
                "study file beside the script whose `train:` names it and that has a `baseline:`"
            )
        return self.session.recipe

    def build(self, given: Given, steps_per_epoch: int, name: str) -> torch.optim.Optimizer:
        self.session.check()
        if name in self.roles:
            raise TaskError(
                f"run.build was called twice for role {name!r}; give the second optimizer another "
                f"role, such as role='D'"
            )
        role = make_role(name, given, self.recipe(), steps_per_epoch)
        role.follow(self.recipe(), self.session.start.lrs)
        role.listen(self._before_step, self._after_step)
        self.roles[name] = role
        self.checkpoint.keep_role(role, "" if role is self.main else f" of role {name}")
        if len(self.roles) == 1:
            horizon = role.horizon
            self.session.say(
                Built(steps_per_epoch=horizon.steps_per_epoch, total_steps=horizon.total_steps)
            )
        return role.optimizer

    def begin(self) -> None:
        """The loop begins: `run.epochs` or `run.steps` is entered; a state is put back."""
        self.hints.at_start()
        self._require_all_trained()
        self.checkpoint.enter()
        for role in self.roles.values():
            role.restored()
        self.progress.go_on()

    def at_batch(self) -> None:
        """A batch of `run.batches` is next: a state can be made here, where the worker wants it."""
        self.session.check()
        if self.save_wanted():
            self.boundary(self.epochs)

    def _require_all_trained(self) -> None:
        """`lrsearch check` refuses a script that leaves parameters out."""
        names = untrained(list(self.roles.values()))
        if names and self.session.start.kind == "check":
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if names[4:] else "")
            self.fail(
                TaskError(
                    f"{shown} require a gradient, but are in no group of run.build; put them into "
                    f"a group, or freeze them with requires_grad_(False)"
                )
            )

    def _before_step(self, role: Role) -> None:
        self.session.check()
        self.hints.before_step(role)

    def _after_step(self, role: Role) -> None:
        role.advance()
        if role is not self.main:
            return
        self.progress.go_on()
        self.beat()
        if self.ramp is not None:
            self._after_ramp_step(role, self.ramp)

    def _after_ramp_step(self, role: Role, ramp: RampReadings) -> None:
        try:
            is_over = ramp.stepped(role.lr)
        except TaskError as error:
            self.fail(error)
        if self.session.ranks.share(is_over):
            self._say_finished(ramp)
            self.session.close("range_test")

    def beat(self) -> None:
        """Say, once a second, that the run gets on."""
        if self.progress.is_beat_due():
            self.session.say(Beat(step=self.step, seconds=self.progress.seconds))

    def loss(self, value: Tensor | float) -> None:
        self.session.check()
        if self.ramp is not None:
            self.ramp.add(value)
        self.losses.add(value)
        if self.ramp is None and self.losses.is_look_due:
            self._look()
        self.beat()

    def _look(self) -> None:
        """End the run if its training loss has diverged, on rank 0."""
        reason = self.session.ranks.share(self.losses.look(self.step))
        if reason is None:
            return
        if self.session.alone:
            self.session.hint("diverged", reason)
            return
        self.session.say(Diverged(step=self.step, reason=reason))
        self.session.close("diverged")

    def report(self, metrics: Fields) -> None:
        self.session.check()
        values = numbers(metrics)
        if not self.reports.take(values) or self.ramp is not None:
            return
        self.progress.go_on()
        self._look()
        if not self.session.alone:
            try:
                require_objective(values, self.session.start.metric, self.hints.place())
            except TaskError as error:
                self.fail(error)
        self.hints.at_report(self.roles, self.reports.count)
        if self.session.recipe is not None:
            value = self.reports.followed(values, self.session.start, self.session.recipe)
            for role in self.roles.values():
                role.see(value)
        self._ask(self._report(values))

    def _report(self, values: Mapping[str, float]) -> Report:
        main = self.main
        return Report(
            step=self.step,
            epoch=self.epochs,
            lr=main.lr if main is not None and main.step else None,
            train_loss=self.losses.take_mean(),
            metrics=values,
            metrics_ema=self.reports.take_averaged(),
            seconds=self.progress.seconds,
            start_loss=self.losses.start,
        )

    def boundary(self, epoch: float) -> None:
        """The run can be interrupted here: ask the worker, and write the state if it wants it."""
        self.session.check()
        self._ask(Boundary(step=self.step, epoch=epoch, seconds=self.progress.seconds))

    def save_wanted(self) -> bool:
        """Whether the worker wants a boundary soon; of several ranks none hears of it."""
        line = self.session.line
        return line is not None and self.session.ranks.count == 1 and line.save_wanted()

    def _ask(self, message: Report | Boundary) -> None:
        self.progress.stand()
        answer = self.session.ask(message)
        while isinstance(answer, Save | SaveModel):
            if isinstance(answer, SaveModel):
                size = self._write_model(answer)
            elif isinstance(message, Report):
                raise ValueError("the worker wants a state at a report; it can at a Boundary only")
            else:
                size = self.checkpoint.write(Path(answer.path))
            answer = self.session.ask(Saved(step=self.step, bytes=size))
        self.progress.go_on()

    def _write_model(self, wanted: SaveModel) -> int:
        """Its bytes; 0 where no model is known, which is said once, and on ranks but 0."""
        if not self.session.ranks.is_first:
            return 0
        size = write_model(list(self.roles.values()), Path(wanted.path), averaged=wanted.averaged)
        if not size:
            self.session.hint("no model", NO_MODEL)
        return size

    @contextmanager
    def average(self) -> Iterator[bool]:
        """Inside, the models hold their averages; whether there are any."""
        self.session.check()
        averages = [role.average for role in self.roles.values() if role.average is not None]
        with ExitStack() as stack:
            stack.enter_context(self.reports.inside_average(wanted=bool(averages)))
            stack.enter_context(validation_numbers(self.session.device))
            for average in averages:
                stack.enter_context(average.in_place())
            yield bool(averages)

    def fail(self, error: LrsearchError) -> NoReturn:
        """The run has failed; outside a study the error is the script's."""
        if self.session.alone:
            raise error
        self.session.fail(str(error), step=self.step, seconds=self.progress.seconds)

    def finish(self) -> None:
        """The script has come to its end. Raises TaskError where it has told nothing."""
        if self.ramp is not None and not self.ramp.losses:
            raise TaskError(NO_LOSS)
        if self.ramp is None and not self.reports.count:
            raise TaskError("the script came to its end and never called run.report(...)")
        self.hints.at_end(self.roles)
        self.checkpoint.say_unkept()
        self._say_finished(self.ramp)

    def _say_finished(self, ramp: RampReadings | None) -> None:
        if ramp is not None:
            self.session.say(Readings(lrs=tuple(ramp.lrs), losses=tuple(ramp.losses)))
        is_check = self.session.start.kind == "check"
        self.session.say(
            Finished(
                step=self.step,
                epoch=self.epochs,
                seconds=self.progress.seconds,
                averages=self.reports.used_average,
                reads_loss=self.losses.start is not None,
                digests=self.checkpoint.state.digests() if is_check else None,
            )
        )
