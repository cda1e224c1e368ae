"""A worker of own loops without study, database or process: it records what a run says."""

from lrsearch.own_loop.line import Ranks
from lrsearch.own_loop.messages import Boundary, End, GoOn, Report, Save, Saved, Start
from lrsearch.own_loop.run import Run
from lrsearch.own_loop.session import Session
from lrsearch.recipe.recipe import Recipe


class FakeWorker:
    """Stands for the channel of a run in this process."""

    def __init__(self, answer=lambda message: GoOn()):
        self.answer = answer
        self.said = []
        self.wants_save = False

    def say(self, message):
        self.said.append(message)

    def ask(self, message):
        self.said.append(message)
        return self.answer(message)

    def save_wanted(self):
        return self.wants_save

    def of(self, kind):
        """What it was told of this kind."""
        return [message for message in self.said if isinstance(message, kind)]

    @property
    def hints(self):
        return [message.text for message in self.said if type(message).__name__ == "Hint"]


RECIPE = {
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "schedule": {"name": "cosine"},
    "epochs": 3,
    "seed": 7,
}


def make_run(worker=None, **changes):
    """A run bound to a worker, and the worker. Changes are those of Start, or of RECIPE."""
    worker = worker or FakeWorker()
    recipe = {**RECIPE, **changes.pop("recipe", {})}
    fields = {"kind": "search", "recipe": recipe, "device": "cpu", "folder": ".", **changes}
    start = Start(**fields)
    run = Run()
    run.bind(Session(start, Recipe.from_dict(recipe), worker, Ranks()))
    return run, worker


def ends_at(number, reason="pruned"):
    """An answer that ends the run at this report, the first is 1."""
    seen = []

    def answer(message):
        if isinstance(message, Report):
            seen.append(message)
        return End(reason=reason) if len(seen) >= number else GoOn()

    return answer


def saved_at(place, path):
    """An answer that wants the state at this boundary, the first is 0, and then ends the run."""
    seen = []

    def answer(message):
        if isinstance(message, Saved):
            return End(reason="stopped")
        if isinstance(message, Boundary):
            seen.append(message)
            if len(seen) == place + 1:
                return Save(path=str(path))
        return GoOn()

    return answer
