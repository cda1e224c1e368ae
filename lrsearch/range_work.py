"""A worker's range tests: trained, recorded, let go of."""

import logging
import time
from collections.abc import Callable
from typing import Any

from lrsearch.range_plan import most_seconds, ramp_plan
from lrsearch.storage import leases, range_tests
from lrsearch.storage.rows import Row
from lrsearch.storage.tables import TrialState
from lrsearch.study.search import Search
from lrsearch.training.ramp import RangeTraining
from lrsearch.training.setup import TaskCache, TrialFailedError

log = logging.getLogger("lrsearch")


def train(search: Search, row: Row, cache: TaskCache, stop: Callable[[], bool]) -> None:
    """Train a range test that was claimed and record it; one that is stopped is let go of.

    Whatever goes wrong leaves the optimizer without a window, and the study goes on.
    """
    deadline = time.monotonic() + most_seconds(search.spec)
    plan = ramp_plan(search.spec, row["optimizer"])
    training = RangeTraining(
        search.spec, plan, cache, lambda: stop() or time.monotonic() > deadline
    )
    values: dict[str, Any] = {"state": TrialState.COMPLETE}
    try:
        result = training.run(row["seeds"])
    except TrialFailedError as failure:
        values = {"state": TrialState.FAILED, "reason": str(failure)}
    else:
        if result is None and not stop():
            reason = "it took longer than 3 % of the budget's time"
            values = {"state": TrialState.FAILED, "reason": reason}
        elif result is None:
            with search.database.begin() as connection:
                leases.release(connection, search.study_id, [row["worker"]])
            return
        else:
            values |= {"result": result.to_dict(), "reason": result.reason}
    values |= {"epochs": training.epochs, "seconds": training.seconds}
    with search.database.begin() as connection:
        recorded = range_tests.record(connection, row, values)
    if not recorded:
        log.warning("range test of %s was taken over by another; dropped", row["optimizer"])
    elif values["reason"]:
        log.warning("range test of %s found no window: %s", row["optimizer"], values["reason"])
    else:
        low, high = values["result"]["window"]
        log.info("range test of %s: lr %.3g to %.3g", row["optimizer"], low, high)
