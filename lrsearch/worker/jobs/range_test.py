"""A worker's range tests: trained, recorded, let go of."""

import logging
import time

from sqlalchemy import Connection

from lrsearch.errors import SpecError
from lrsearch.range_test.plan import most_seconds, ramp_plan
from lrsearch.storage import claims, range_tests
from lrsearch.storage.ends import End, RangeTestEnd
from lrsearch.storage.records import RangeTestRecord
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.portfolio import keep_stable
from lrsearch.training.failures import TrialFailedError
from lrsearch.trial.states import TrialState
from lrsearch.worker.context import WorkerContext
from lrsearch.worker.program import RangeTrainer
from lrsearch.worker.time_limit import JobClock

log = logging.getLogger("lrsearch")


def train(context: WorkerContext, row: RangeTestRecord) -> None:
    """Train a range test that was claimed and record it; one that is stopped is let go of.

    Whatever goes wrong leaves the optimizer without a window, and the study goes on.
    """
    search, renewer, claim = context.search, context.renewer, range_tests.claim_of(row)
    deadline = time.monotonic() + most_seconds(search.spec)
    clock = JobClock(context.limit, "range test")

    try:
        steps = round(row.epochs_reserved * search.steps_per_epoch / row.seeds)
        plan = ramp_plan(search.spec, row.optimizer, steps)
    except SpecError as error:
        failed = End(state=TrialState.FAILED, reason=str(error), epochs=0.0, seconds=0.0)
        _record(search, row, failed)
        return
    with renewer.holding(claim, f"range test of {row.optimizer}") as held:

        def stop() -> bool:
            renewer.beat()
            return context.stop() or held.lost or time.monotonic() > deadline

        training = context.program.range_trainer(plan, stop)
        end = _end(training, row.seeds)
    renewer.check()  # for a defect in its thread
    if end is None and context.stop():
        search.database.run(lambda connection: claims.release(connection, claim))
        return
    clock.end()
    end = end or _failed(training, "it took longer than 3 % of the budget's time")
    if held.lost or not _record(search, row, end):
        log.warning(
            "range test of %s was taken over by another worker; this one drops it", row.optimizer
        )
    elif end.reason:
        log.warning("range test of %s found no window: %s", row.optimizer, end.reason)
    elif end.result is not None:
        log.info("range test of %s: lr %.3g to %.3g", row.optimizer, *end.result["window"])


def _record(search: OpenStudy, row: RangeTestRecord, end: End) -> bool:
    claim = range_tests.claim_of(row)

    def record(connection: Connection) -> bool:
        if not range_tests.record(connection, row, end):
            return False
        keep_stable(connection, search.study_id, search.spec, search.steps_per_epoch)
        return True

    return search.database.run(
        record,
        recall=lambda connection: claims.has_ended(connection, claim) or None,
    )


def _end(training: RangeTrainer, seeds: int) -> RangeTestEnd | None:
    """Train it and say how it ended; None when it was stopped."""
    try:
        result = training.run(seeds)
    except TrialFailedError as failure:
        return _failed(training, str(failure))
    if result is None:
        return None
    return RangeTestEnd(
        state=TrialState.COMPLETE,
        reason=result.reason,
        epochs=training.epochs,
        seconds=training.seconds,
        result=result.to_dict(),
    )


def _failed(training: RangeTrainer, reason: str) -> RangeTestEnd:
    return RangeTestEnd(
        state=TrialState.FAILED, reason=reason, epochs=training.epochs, seconds=training.seconds
    )
