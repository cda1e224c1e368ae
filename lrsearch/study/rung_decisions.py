"""Trials at rungs: their signals are recorded, and each goes on or not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from lrsearch.confirmation.budget import trains_whole
from lrsearch.storage import audited_trials, checkpoints, curves, rung_arrivals, rungs, waiting
from lrsearch.storage.rung_counts import Count
from lrsearch.storage.rungs import Visit
from lrsearch.study.assignment import Arrival, Assignment, Verdict
from lrsearch.study.draw import Linked
from lrsearch.study.optuna import gate
from lrsearch.study.planned_search import PlannedSearch
from lrsearch.study.portfolio import KIND
from lrsearch.study.stored_study import StoredStudy
from lrsearch.study.trial_start import link
from lrsearch.trial import pruning_audit
from lrsearch.trial.curve import Validation
from lrsearch.trial.pruning import places


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A held trial that has left its mark at a rung."""

    visit: Visit
    #: Lower is better; infinite where it was not finite.
    signal: float


def pass_rungs(
    connection: Connection, study: StoredStudy, arrivals: Sequence[Arrival]
) -> list[Verdict]:
    """What becomes of the trial of each arrival.

    What was written of it there is its newest checkpoint from this transaction on: one that is
    recorded before would let the next worker go on behind a rung where the trial was never judged.
    """
    # By id, as a deletion locks them: neither waits for the other.
    in_order = sorted(arrivals, key=lambda arrival: arrival.assignment.claim.id)
    seen, counts = _arrive(connection, in_order)
    held = [one for one in seen.values() if one is not None]
    for one in in_order:
        claim, checkpoint = one.assignment.claim, one.checkpoint
        if checkpoint is not None and seen[claim.id] is not None:
            checkpoints.record(connection, claim, checkpoint)
    planned = study.planned_for(connection, held[0].visit.epochs_total) if held else None
    return [
        _verdict(connection, study, arrival, seen[arrival.assignment.claim.id], planned, counts)
        for arrival in arrivals
    ]


def write_again(
    connection: Connection,
    study: StoredStudy,
    assignment: Assignment,
    rows: Sequence[Validation],
    passed: Sequence[Arrival],
) -> bool:
    """Write what the database has lost of a trial in training: recipe, rows, and marks at rungs.

    `rows` are all of this attempt, `passed` the rungs that it has passed, in their order; it goes
    on, as was decided. What is there stays. False, and nothing written, if its claim is lost.
    """
    # It is trained already: it stays, though another trial may have been given the same meanwhile.
    drawn = replace(assignment.drawn, may_repeat=True)
    linked = link(connection, study, assignment.claim, assignment.trial_id, drawn)
    if linked == Linked.LOST:
        return False
    curves.add(connection, assignment.claim, rows)
    planned = study.planned(connection)
    for arrival in passed:
        seen = _visit(connection, arrival)
        assert seen is not None
        counts = _mark(connection, [seen])
        if planned is None:  # the audit that began there may be lost too
            _goes_on(connection, study, arrival, seen, counts)
    return True


def _verdict(
    connection: Connection,
    study: StoredStudy,
    arrival: Arrival,
    seen: Seen | None,
    planned: PlannedSearch | None,
    counts: Mapping[int, Count],
) -> Verdict:
    if seen is None:
        waits = study.asks_for_plan and waiting.waits(connection, arrival.assignment.claim)
        return Verdict.WAITS if waits else Verdict.LOST
    if planned is not None:
        return Verdict.GOES_ON if seen.visit.has_waited else planned.arrive(connection, arrival)
    goes_on = _goes_on(connection, study, arrival, seen, counts)
    return Verdict.GOES_ON if goes_on else Verdict.ENDS


def _arrive(
    connection: Connection, arrivals: Sequence[Arrival]
) -> tuple[dict[int, Seen | None], dict[int, Count]]:
    """Record what these have shown until their rungs; by trial, and what each rung has then."""
    at_one_rung = len({arrival.rung for arrival in arrivals}) == 1
    if connection.dialect.name == "postgresql" and at_one_rung:
        return _arrive_at_once(connection, arrivals)
    seen = {a.assignment.claim.id: _visit(connection, a) for a in arrivals}
    return seen, _mark(connection, [one for one in seen.values() if one is not None])


def _arrive_at_once(
    connection: Connection, arrivals: Sequence[Arrival]
) -> tuple[dict[int, Seen | None], dict[int, Count]]:
    """The same by one statement for each, at one rung: so none waits for two of them."""
    writer = gate.writer(connection)
    seen: dict[int, Seen | None] = {}
    counts: dict[int, Count] = {}
    for one in arrivals:
        claim, shown = one.assignment.claim, (one.validation, one.value)
        is_told = math.isfinite(one.value)
        theirs = writer.report_row(one.assignment.trial_id, *shown) if is_told else None
        signal = one.signal if math.isfinite(one.signal) else math.inf
        found = rung_arrivals.arrive(
            connection, claim, one.rung, signal, one.rows, taken=one.taken, theirs=theirs
        )
        seen[claim.id] = None if found is None else Seen(visit=found.visit, signal=signal)
        if found is None:
            continue
        if is_told and theirs is None:
            writer.report(one.assignment.trial_id, *shown)
        if found.count is not None:
            counts[one.rung] = found.count
    return seen, counts


def _visit(connection: Connection, arrival: Arrival) -> Seen | None:
    """Record what it has shown until its rung; None if its claim is lost."""
    claim, value = arrival.assignment.claim, arrival.value
    visit = rungs.visit(connection, claim, arrival.rung)
    if visit is None:
        return None
    curves.append(connection, claim, arrival.rows, taken=arrival.taken)
    if math.isfinite(value):
        trial = arrival.assignment.trial_id
        gate.writer(connection).report(trial, arrival.validation, value)
    signal = arrival.signal if math.isfinite(arrival.signal) else math.inf
    return Seen(visit=visit, signal=signal)


def _mark(connection: Connection, seen: Sequence[Seen]) -> dict[int, Count]:
    """Record and count the marks of these trials; what each rung has with all of them.

    By rung: of two workers neither waits for the other.
    """
    marks = sorted((s for s in seen if s.visit.leaves_mark), key=lambda s: s.visit.rung)
    return {s.visit.rung: rungs.mark(connection, s.visit, s.signal) for s in marks}


def _goes_on(
    connection: Connection,
    study: StoredStudy,
    arrival: Arrival,
    seen: Seen,
    counts: Mapping[int, Count],
) -> bool:
    """Whether it goes on, among all that are at its rung by now."""
    pruning, visit, signal = study.spec.pruning, seen.visit, seen.signal
    assert pruning is not None
    # What was decided stands: its marks beyond would be those of a trial that ended here.
    if _is_never_pruned(study, arrival) or visit.goes_on:
        return True
    count = counts[visit.rung]
    others = count.marks - math.isfinite(signal)
    place = places(others + 1, eta=pruning.eta, min_peers=pruning.min_peers)
    if place is None or rungs.is_among_best(connection, visit, count, signal, place):
        return True
    return _audits(connection, study, arrival, visit)


def _is_never_pruned(study: StoredStudy, arrival: Arrival) -> bool:
    kind = arrival.assignment.kind
    return kind == "baseline" or (kind == KIND and trains_whole(study.spec, study.horizon))


def _audits(connection: Connection, study: StoredStudy, arrival: Arrival, visit: Visit) -> bool:
    """Whether a trial that would be stopped is audited: from here on every rung lets it by."""
    assert study.spec.pruning is not None
    planned = pruning_audit.planned_trials(visit.trials_total, visit.ticket)
    if not pruning_audit.is_audited(
        seed=study.spec.seed,
        ticket=visit.ticket,
        planned=planned,
        share=study.spec.pruning.audit,
    ):
        return False
    audited_trials.begin(connection, visit.trial, arrival.rung, arrival.epochs)
    return True
