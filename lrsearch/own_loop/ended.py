"""How a run of a user's loop ends before the loop does."""


class Ended(BaseException):
    """The run is over: it is pruned, stopped, diverged, failed, checked, or its ramp is at its end.

    `run.report`, `run.loss`, `run.epochs`, `run.steps`, `run.batches` and the optimizer's step
    raise it, each of them again after that. It is no Exception, so that `except Exception` in a
    training loop does not swallow it. Let it pass: `finally` blocks and exit handlers run.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        #: `pruned`, `stopped`, `diverged`, `failed`, `checked` or `range_test`.
        self.reason = reason
