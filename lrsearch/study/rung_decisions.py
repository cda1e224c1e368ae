"""Trials at rungs: their signals are recorded, and each goes on or not."""

import math
from collections.abc import Sequence

from sqlalchemy import Connection

from lrsearch.confirmation.budget import trains_whole
from lrsearch.storage import audited_trials, curves, rungs, waiting
from lrsearch.storage.leases import Claim
from lrsearch.study.assignment import Arrival, Verdict
from lrsearch.study.optuna import gate
from lrsearch.study.planned_search import PlannedSearch, has_waited
from lrsearch.study.portfolio import KIND
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial import pruning_audit
from lrsearch.trial.curve import Validation
from lrsearch.trial.pruning import survives


def pass_rungs(
    connection: Connection, study: StoredStudy, arrivals: Sequence[Arrival]
) -> list[Verdict]:
    """What becomes of the trial of each arrival."""
    planned = study.planned(connection)
    # By id, as a deletion locks them: neither waits for the other.
    in_order = sorted(arrivals, key=lambda arrival: arrival.assignment.claim.id)
    if planned is not None:
        found = {a.assignment.claim.id: _waits(connection, study, planned, a) for a in in_order}
        return [found[arrival.assignment.claim.id] for arrival in arrivals]
    held = {a.assignment.claim.id: _mark(connection, study, a) for a in in_order}
    return [
        _judged(connection, study, arrival) if held[arrival.assignment.claim.id] else Verdict.LOST
        for arrival in arrivals
    ]


def write_again(
    connection: Connection,
    study: StoredStudy,
    claim: Claim,
    rows: Sequence[Validation],
    passed: Sequence[Arrival],
) -> bool:
    """Write what the database has lost of a trial in training: rows, and its marks at rungs.

    `rows` are all of this attempt, `passed` the rungs that it has passed, in their order; it goes
    on, as was decided. What is there stays. False, and nothing written, if its claim is lost.
    """
    if not curves.add(connection, claim, rows):
        return False
    planned = study.planned(connection)
    for arrival in passed:
        _mark(connection, study, arrival)
        if planned is None:
            _goes_on(connection, study, arrival)  # the audit that began there may be lost too
    return True


def _waits(
    connection: Connection, study: StoredStudy, planned: PlannedSearch, arrival: Arrival
) -> Verdict:
    goes_on = has_waited(connection, arrival)
    if not _mark(connection, study, arrival):
        waits = waiting.waits(connection, arrival.assignment.claim)
        return Verdict.WAITS if waits else Verdict.LOST
    return Verdict.GOES_ON if goes_on else planned.arrive(connection, arrival)


def _judged(connection: Connection, study: StoredStudy, arrival: Arrival) -> Verdict:
    return Verdict.GOES_ON if _goes_on(connection, study, arrival) else Verdict.ENDS


def _mark(connection: Connection, study: StoredStudy, arrival: Arrival) -> bool:
    """Record that it is at its rung; False if its claim is lost."""
    claim, value = arrival.assignment.claim, arrival.value
    if not curves.add(connection, claim, arrival.rows, taken=arrival.taken):
        return False
    if not rungs.mark(connection, study.study_id, claim, arrival.rung, arrival.signal):
        return False
    if math.isfinite(value):
        trial = arrival.assignment.trial_id
        gate.writer(connection).report(trial, arrival.validation, value)
    return True


def _goes_on(connection: Connection, study: StoredStudy, arrival: Arrival) -> bool:
    """Whether it goes on, among all that are at its rung by now."""
    pruning, trial = study.spec.pruning, arrival.assignment.claim.id
    assert pruning is not None
    # What was decided stands: its marks beyond would be those of a trial that ended here.
    if _is_never_pruned(study, arrival) or rungs.went_past(connection, trial, arrival.rung):
        return True
    peers = rungs.peers(connection, study.study_id, trial, arrival.rung)
    passes = survives(
        better=peers.better,
        others=peers.others,
        eta=pruning.eta,
        min_peers=pruning.min_peers,
    )
    return passes or _audits(connection, study, arrival, pruning.audit)


def _is_never_pruned(study: StoredStudy, arrival: Arrival) -> bool:
    kind = arrival.assignment.kind
    return kind == "baseline" or (kind == KIND and trains_whole(study.spec, study.horizon))


def _audits(connection: Connection, study: StoredStudy, arrival: Arrival, share: float) -> bool:
    """Whether a trial that would be stopped is audited: from here on every rung lets it by."""
    trial = arrival.assignment.claim.id
    ticket, total = audited_trials.count_of(connection, trial)
    planned = pruning_audit.planned_trials(total, ticket)
    if not pruning_audit.is_audited(
        seed=study.spec.seed, ticket=ticket, planned=planned, share=share
    ):
        return False
    audited_trials.begin(connection, trial, arrival.rung, arrival.epochs)
    return True
