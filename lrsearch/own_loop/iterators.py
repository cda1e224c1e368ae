"""`run.epochs()` and `run.steps()`: where a run begins, goes on and can be interrupted."""

from collections.abc import Iterator

from lrsearch.errors import TaskError
from lrsearch.own_loop.loop import Loop


class Epochs(Iterator[int]):
    """The epochs to train. The worker is asked at the top of each but that which is entered."""

    def __init__(self, loop: Loop, start: int = 0) -> None:
        """`start` is the number of a run's first epoch."""
        self._loop, self._start = loop, start
        self._is_entered = False

    def __next__(self) -> int:
        loop, progress = self._loop, self._loop.progress
        loop.session.check()
        if not self._is_entered:
            self._is_entered = True
            loop.begin()
            if progress.epoch >= self._horizon():
                raise StopIteration
        else:
            if loop.main is not None:
                loop.hints.at_epoch(loop.main, loop.step - progress.steps_at_top)
            progress.epoch += 1
            if progress.epoch >= self._horizon():
                raise StopIteration
            progress.steps_at_top = loop.step
            loop.checkpoint.top(progress.epoch + self._start)
            loop.boundary(float(progress.epoch))
        return progress.epoch + self._start

    def _horizon(self) -> int:
        """Epochs of the whole run, the last one possibly in part."""
        recipe, main = self._loop.recipe(), self._loop.main
        if recipe.epochs is not None:
            return recipe.epochs
        if main is None:
            raise TaskError("the recipe counts steps: call run.build before run.epochs()")
        return -(-main.horizon.total_steps // main.horizon.steps_per_epoch)


class Steps(Iterator[int]):
    """The steps to train. The worker is asked at the tops of epochs, and where it wants it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._is_entered = False

    def __next__(self) -> int:
        loop, progress = self._loop, self._loop.progress
        loop.session.check()
        if loop.main is None:
            raise TaskError("run.steps() came before run.build; build the optimizer first")
        horizon = loop.main.horizon
        entered, self._is_entered = self._is_entered, True
        if not entered:
            loop.begin()
        else:
            progress.iteration += 1
        if progress.iteration >= horizon.total_steps:
            raise StopIteration
        progress.epoch, inside = divmod(progress.iteration, horizon.steps_per_epoch)
        if entered and inside == 0:
            loop.checkpoint.top(progress.iteration)
        if entered and (inside == 0 or loop.save_wanted()):
            loop.boundary(progress.iteration / horizon.steps_per_epoch)
        return progress.iteration
