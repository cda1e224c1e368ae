"""What a process of a trial that is not the worker's runs: it does what rank 0 tells it."""

import socket
from collections.abc import Sequence
from multiprocessing.connection import Connection

import torch

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.find import find_task
from lrsearch.training import checkpoint_state
from lrsearch.training.conclude import conclude
from lrsearch.training.data_parallel import group
from lrsearch.training.data_parallel.engine import begin
from lrsearch.training.data_parallel.orders import (
    Advance,
    Begin,
    Conclude,
    Failed,
    Order,
    Ready,
    SendRandom,
    Setup,
    Stand,
    receive,
    send,
)
from lrsearch.training.data_parallel.training import SharedTraining
from lrsearch.training.failures import TrialFailedError, failures
from lrsearch.training.heap import prepare_heap
from lrsearch.training.initial_weights import with_weights_of
from lrsearch.training.randomness import RandomStates
from lrsearch.training.task_cache import TaskCache


class Rank:
    """One process of a trial, at the other end of rank 0's `Processes`."""

    def __init__(self, setup: Setup, connection: Connection) -> None:
        """Raises TaskError unless the task is here, with the code that rank 0 has."""
        torch.set_num_threads(setup.threads)
        prepare_heap()
        self.setup, self.connection = setup, connection
        self.spec = StudySpec.from_stored(setup.spec)
        assert self.spec.task is not None
        found = find_task(
            self.spec.task, setup.code, setup.folders, strict=True, own=self.spec.own_names()
        )
        loaded = with_weights_of(self.spec, found, setup.folders)
        self.cache = TaskCache(loaded, torch.device(setup.device))
        self._training: SharedTraining | None = None

    @property
    def training(self) -> SharedTraining:
        assert self._training is not None, "rank 0 tells Begin first"
        return self._training

    def do(self, order: Order) -> None:
        """Raises TrialFailedError where the task's code raises."""
        with failures():
            match order:
                case Begin():
                    self._training = None  # let go of its memory first
                    recipe = Recipe.from_dict(order.recipe)
                    place = self.setup.place
                    self._training = begin(self.spec, recipe, self.cache, order.purpose, place)
                case Stand():
                    self._stand(order)
                case Advance():
                    self.training.diverged = None  # it is rank 0 that decides
                    self.training.advance(order.until)
                case Conclude():
                    conclude(self.training, order.raw, order.averaged)
                case SendRandom():
                    send(self.connection, RandomStates.now(self.cache.device))

    def _stand(self, order: Stand) -> None:
        branches = order.branches
        found = checkpoint_state.unpack(
            self.training, order.data, says_where=False, branches=branches
        )
        if found is None:
            raise TrialFailedError("a checkpoint fits one of its processes alone; see the log")
        if order.random:
            order.random[self.setup.place.rank - 1].put(self.cache.device)


def serve(connection: Connection) -> None:
    """Do what rank 0 says until it closes the connection. Raises TrialFailedError."""
    with failures():
        rank = Rank(receive(connection), connection)
        send(connection, Ready())
        group.join(rank.setup)
    try:
        while True:
            try:
                order = receive(connection)
            except (EOFError, OSError):
                return
            rank.do(order)
    finally:
        rank.cache.close()


def main(words: Sequence[str]) -> int:
    """Serve rank 0, whose socket is the first of the words; the status this process ends with.

    A process that fails says why before it ends.
    """
    end = socket.socket(socket.AF_UNIX)
    end.connect(words[0])
    connection = Connection(end.detach())
    try:
        serve(connection)
    except TrialFailedError as failure:
        send(connection, Failed(reason=str(failure)))
        return 1
    finally:
        group.leave()
    return 0
