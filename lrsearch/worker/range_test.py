"""A worker's range tests: trained, recorded, let go of."""

import logging
import time
from typing import Any

from lrsearch.errors import SpecError
from lrsearch.range_test.plan import most_seconds, ramp_plan
from lrsearch.storage import claims, range_tests
from lrsearch.storage.rows import Row
from lrsearch.study.open_study import OpenStudy
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.range_test import RangeTraining
from lrsearch.trial.states import TrialState
from lrsearch.worker.context import WorkerContext

log = logging.getLogger("lrsearch")


def train(context: WorkerContext, row: Row) -> None:
    """Train a range test that was claimed and record it; one that is stopped is let go of.

    Whatever goes wrong leaves the optimizer without a window, and the study goes on.
    """
    search, renewer, claim = context.search, context.renewer, range_tests.claim_of(row)
    deadline = time.monotonic() + most_seconds(search.spec)

    try:
        plan = ramp_plan(search.spec, row["optimizer"])
    except SpecError as error:
        nothing = {"epochs": 0.0, "seconds": 0.0}
        _record(search, row, {"state": TrialState.FAILED, "reason": str(error), **nothing})
        return
    with renewer.holding(claim, f"range test of {row['optimizer']}") as held:

        def stop() -> bool:
            renewer.beat()
            return context.stop() or held.lost or time.monotonic() > deadline

        training = RangeTraining(search.spec, plan, context.cache, stop)
        values = _result(training, row["seeds"])
    renewer.check()  # for a defect in its thread
    if values is None and context.stop():
        search.database.run(lambda connection: claims.release(connection, claim))
        return
    if values is None:
        reason = "it took longer than 3 % of the budget's time"
        values = {"state": TrialState.FAILED, "reason": reason}
    values |= {"epochs": training.epochs, "seconds": training.seconds}
    if held.lost or not _record(search, row, values):
        log.warning("range test of %s was taken over by another; dropped", row["optimizer"])
    elif values["reason"]:
        log.warning("range test of %s found no window: %s", row["optimizer"], values["reason"])
    else:
        low, high = values["result"]["window"]
        log.info("range test of %s: lr %.3g to %.3g", row["optimizer"], low, high)


def _record(search: OpenStudy, row: Row, values: dict[str, Any]) -> bool:
    claim = range_tests.claim_of(row)
    return search.database.run(
        lambda connection: range_tests.record(connection, row, values),
        recall=lambda connection: claims.has_ended(connection, claim) or None,
    )


def _result(training: RangeTraining, seeds: int) -> dict[str, Any] | None:
    """State, result and reason; None when it was stopped."""
    try:
        result = training.run(seeds)
    except TrialFailedError as failure:
        return {"state": TrialState.FAILED, "reason": str(failure)}
    if result is None:
        return None
    return {"state": TrialState.COMPLETE, "result": result.to_dict(), "reason": result.reason}
