"""Audited trials: which go on past a rung that stops them, and what then stands in the database."""

import pytest
from sqlalchemy import update
from tiny_studies import (
    EPOCHS,
    STEPS_PER_EPOCH,
    VALIDATIONS,
    ask,
    curve_row,
    ended,
    make_study,
    passes_rung,
    tiny_spec,
    tiny_task,
    work,
)

from lrsearch.report.summary import reviewed
from lrsearch.storage import curves, leases, rungs, studies, trials
from lrsearch.storage.tables import trials as trial_table
from lrsearch.study.extend import extend_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.trial.pruning_audit import LEAST_AUDITED
from lrsearch.trial.states import TrialState

#: Rungs of the tiny study; every second trial that they stop is audited.
HALF = {"rungs": [0.15, 0.4], "min_peers": 3, "audit": 0.5}
WORST = 100.0
PEERS, OTHERS = 4, 6


def audited_search(database, **changes):
    fields = {"budget": {"trials": 100}, "pruning": HALF, "name": "audited", **changes}
    return make_study(database, **fields)


def with_good_peers(search):
    """As many equal trials at both rungs as stop whoever is worse, up to twice their number."""
    for _ in range(PEERS):
        trial = ask(search)
        assert arrives(search, trial, 1.0, rung=0)
        assert arrives(search, trial, 1.0, rung=1)
    return search


def arrives(search, assignment, loss, *, rung):
    """At a rung of the tiny study, with the rows of its curve so far; whether it goes on."""
    validation = rung + 1
    rows = [curve_row(i, val_loss=loss) for i in range(1, validation + 1)]
    shown = {"signal": loss, "value": loss, "validation": validation, "rows": rows}
    return passes_rung(search, assignment, rung=rung, **shown)


def row_of(search, assignment):
    with search.database.read() as connection:
        return trials.by_number(connection, search.study_id, assignment.number)


def stopped_and_audited(search, count=OTHERS):
    """Trials that are to be stopped at the first rung, by whether they are audited."""
    asked = [ask(search) for _ in range(count)]
    goes_on = [arrives(search, trial, WORST, rung=0) for trial in asked]
    return [t for t, on in zip(asked, goes_on, strict=True) if not on], [
        t for t, on in zip(asked, goes_on, strict=True) if on
    ]


def peers(connection, search, trial, rung):
    """How many other trials have a mark at a rung."""
    marks = rungs.of_study(connection, search.study_id)
    return sum(mark.rung == rung and mark.trial != trial for mark in marks)


def test_an_audited_trial_passes_every_rung_and_is_no_peer_beyond_the_first(database):
    search = with_good_peers(audited_search(database))
    stopped, audited = stopped_and_audited(search)
    assert stopped
    assert audited
    for trial in audited:
        assert arrives(search, trial, WORST, rung=1)
        row = row_of(search, trial)
        assert (row.audited_at, row.audit_from) == (0, 0.5)
    assert {row_of(search, trial).audited_at for trial in stopped} == {None}
    with database.read() as connection:
        newcomer = audited[0].claim.id
        assert peers(connection, search, newcomer, 1) == PEERS
        assert peers(connection, search, newcomer, 0) == PEERS + OTHERS - 1


def test_the_same_trials_are_audited_in_any_order_and_by_any_worker(database):
    def audited_tickets(name, order, worker):
        search = with_good_peers(audited_search(database, name=name))
        asked = [ask(search, worker) for _ in range(OTHERS)]
        for i in order:
            arrives(search, asked[i], WORST, rung=0)
        return {t.number for t in asked if row_of(search, t).audited_at == 0}

    forth = audited_tickets("forth", range(OTHERS), "host:1:1")
    assert 0 < len(forth) < OTHERS
    assert audited_tickets("back", reversed(range(OTHERS)), "host:2:2") == forth
    other = audited_search(database, name="other", seed=4)
    assert {t.number for t in stopped_and_audited(with_good_peers(other))[1]} != forth


@pytest.mark.both_databases
def test_an_audit_outlives_its_worker(database):
    search = with_good_peers(audited_search(database))
    trial = stopped_and_audited(search)[1][0]
    with database.begin() as connection:
        leases.release(connection, search.study_id, ["host:1:1"])
    other = OpenStudy.open(database, search.name)
    while (again := ask(other, "host:2:2")).number != trial.number:
        pass
    assert again.claim.attempt == 2
    assert arrives(other, again, WORST, rung=0)  # from a checkpoint before the rung
    assert arrives(other, again, WORST, rung=1)
    row = row_of(other, again)
    assert (row.audited_at, row.audit_from) == (0, 0.5)
    with database.read() as connection:
        assert peers(connection, search, again.claim.id, 1) == PEERS


@pytest.mark.parametrize(
    ("budget", "audits"),
    [
        ({"trials": 99}, False),
        ({"trials": 100}, True),
        ({"time": "1h"}, False),  # the trials started by then are fewer
    ],
    ids=str,
)
def test_a_small_study_audits_none(database, budget, audits):
    pruning = {**HALF, "audit": 0.99}
    search = with_good_peers(audited_search(database, budget=budget, pruning=pruning))
    assert bool(stopped_and_audited(search, 3)[1]) == audits


def test_epochs_beyond_the_rung_are_the_audits(database):
    search = with_good_peers(audited_search(database))
    stopped, audited = stopped_and_audited(search)
    assert search.tell(stopped[0], ended(TrialState.PRUNED, epochs=0.5, seconds=1.0))
    assert search.tell(audited[0], ended(TrialState.COMPLETE, epochs=4.0, seconds=8.0))
    assert search.tell(audited[1], ended(TrialState.DIVERGED, epochs=1.0, seconds=2.0))
    summary = reviewed(search)
    assert summary["epochs"] == {"range_test": 0, "search": 1.5, "audit": 4.0, "confirm": 0}
    assert summary["seconds"] == {"range_test": 0, "search": 3.0, "audit": 8.0, "confirm": 0}
    assert summary["counts"]["complete"] == 1
    with database.read() as connection:
        assert studies.by_id(connection, search.study_id).epochs_used == 5.5
    assert search.study.trials[audited[0].number].value == WORST


@pytest.mark.both_databases
def test_workers_train_audited_trials_to_their_ends(database):
    search = audited_search(database, pruning={**HALF, "audit": 0.9}, confirm="none")
    with database.begin() as connection:  # a study of 100 trials whose epochs are used after four
        studies.change(connection, search.study_id, epochs_total=4 * EPOCHS)
    work(search)
    with database.read() as connection:
        rows = trials.everything(connection, search.study_id)
        lengths = {row.id: len(curves.of_trial(connection, row.id)) for row in rows}
    audited = [row for row in rows if row.audited_at is not None]
    assert {row.state for row in audited} <= {"complete", "diverged"}
    whole = [row for row in audited if row.state == "complete"]
    assert whole
    for row in whole:
        assert (lengths[row.id], row.epochs) == (VALIDATIONS, EPOCHS)
        assert row.audit_from in (0.5, 1.5)


def study_with_audits(database, name, values, **changes):
    """Audited trials that ended with these values; None diverged. Peers ended with 1."""
    fields = {"name": name, "pruning": {**HALF, "audit": 0.99}, **changes}
    search = make_study(database, budget={"trials": 100}, portfolio="none", **fields)
    for _ in range(PEERS):
        trial = ask(search)
        arrives(search, trial, 1.0, rung=0)
        search.tell(trial, ended(TrialState.COMPLETE))
    for value in values:
        trial = ask(search)
        while not arrives(search, trial, WORST, rung=0):  # one of the hundredth that is not drawn
            search.tell(trial, ended(TrialState.PRUNED))
            trial = ask(search)
        state = TrialState.DIVERGED if value is None else TrialState.COMPLETE
        rows = [] if value is None else [curve_row(2, val_loss=value)]
        search.tell(trial, ended(state), rows)
    return search


@pytest.mark.both_databases
def test_the_rate_is_pooled_over_the_studies_of_a_project(database):
    space = {"optimizers": {"adamw": {}}, "schedules": {"cosine": {}}}
    same = {"project": "vision", "space": space}
    first = study_with_audits(database, "first", [0.5, 2.0, 3.0, None], **same)
    study_with_audits(database, "second", [0.5] + 6 * [2.0], **same)
    other = study_with_audits(database, "third", [0.5], space=space)
    alone = reviewed(other)["audit"]
    assert (alone["audited"], alone["false"], alone["ci95"]) == (1, 1, None)
    assert (alone["own"], alone["studies"], alone["families"]) == (1, 1, {})
    pooled = reviewed(first)["audit"]
    assert (pooled["audited"], pooled["own"], pooled["studies"]) == (11, 4, 2)
    assert pooled["audited"] >= LEAST_AUDITED
    assert (pooled["false"], pooled["share"]) == (2, 2 / 11)
    assert pooled["ci95"] == pytest.approx([0.0228, 0.5178], abs=1e-4)
    assert pooled["families"]["cosine"]["ci95"] == pooled["ci95"]


def test_a_maximized_objective_is_audited_the_other_way_round(database):
    objective = {"metric": "mae", "direction": "maximize"}
    search = study_with_audits(database, "maximized", [2.0], objective=objective)
    with database.begin() as connection:
        rows = trials.everything(connection, search.study_id)
        top = rows[-1].id
        connection.execute(update(trial_table).where(trial_table.c.id == top).values(value=9.0))
    assert reviewed(search)["audit"]["false"] == 1


@pytest.mark.parametrize("name", ["kept", "beside"])
def test_a_trial_that_an_extension_took_over_is_counted_once(database, name):
    space = {"optimizers": {"adamw": {}}, "schedules": {"cosine": {}}}
    same = {"project": "vision", "space": space}
    old = study_with_audits(database, "kept", [0.5, 2.0], **same)
    study_with_audits(database, "other", [2.0], **same)
    wider = {**space, "schedules": {"cosine": {}, "constant": {}}}
    changes = {"budget": {"trials": 200}, "pruning": {**HALF, "audit": 0.99}, "portfolio": "none"}
    spec = tiny_spec(name=name, **{**same, **changes, "space": wider})
    extend_study(old, spec, tiny_task(), steps_per_epoch=STEPS_PER_EPOCH)
    audit = reviewed(OpenStudy.open(database, name))["audit"]
    assert (audit["audited"], audit["own"], audit["studies"]) == (3, 2, 2)
    other = reviewed(OpenStudy.open(database, "other"))["audit"]
    assert (other["audited"], other["own"], other["studies"]) == (3, 1, 2)
