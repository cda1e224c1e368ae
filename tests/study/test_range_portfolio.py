"""What a study's range tests change in its portfolio, and what they cost it."""

import pytest
import torch
from ramps import make_ramp
from tiny_studies import STEPS_PER_EPOCH, ask, make_study, opened, work

from lrsearch.range_test.analysis import judge
from lrsearch.range_test.plan import range_plan
from lrsearch.range_test.reading import grid
from lrsearch.range_test.windows import portfolio_edges
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import range_tests, studies
from lrsearch.storage.ends import RangeTestEnd
from lrsearch.study.portfolio import KIND, keep_stable
from lrsearch.study.prepare_database import prepare
from lrsearch.trial.states import TrialState

SPACE = {"optimizers": ["sgd", "adamw"], "schedules": ["one_cycle", "cosine"]}
#: Half of a fall is climbed back just below this lr.
CLIMBS = 0.02


def result_of(optimizer, climbs=CLIMBS):
    fields = {"name": optimizer, **({"momentum": 0.9} if optimizer == "sgd" else {})}
    return judge(
        fields, [make_ramp(climbs / 100, climbs, lrs=grid(climbs / 1e4, 58))], batch_size=64
    ).to_dict()


def queued(search):
    with search.database.read() as connection:
        rows = studies.waiting(connection, search.study_id)
    return [(r.kind, r.recipe["optimizer"]["name"], r.recipe["optimizer"]["lr"]) for r in rows]


def end(search, optimizer, result):
    """Record its range test as a worker does."""
    row = next(r for r in iter(lambda: search.claim_range_test("a:1:1"), None))
    found = {"state": TrialState.COMPLETE, "result": result, "epochs": 0.1, "seconds": 1.0}
    with search.database.begin() as connection:
        assert range_tests.record(connection, row, RangeTestEnd(**found))
        keep_stable(connection, search.study_id, search.spec, search.steps_per_epoch)


def study_of(database, **changes):
    fields = {"range_test": "auto", "portfolio": "default", "budget": {"trials": 400}}
    return make_study(database, **{**fields, "space": SPACE, **changes})


@pytest.mark.both_databases
def test_rates_beyond_the_edge_wait_no_more(database):
    search = study_of(database)
    before = queued(search)
    first = ask(search)  # another worker has begun already
    end(search, "sgd", result_of("sgd"))
    after = queued(search)
    highest = portfolio_edges(search.spec.space, [result_of("sgd")])["sgd"].highest
    assert highest == pytest.approx(2 * CLIMBS, rel=0.5)
    assert [row for row in before[1:] if row[1] == "adamw"] == [r for r in after if r[1] == "adamw"]
    assert max(lr for _, name, lr in after if name == "sgd") <= highest
    assert any(lr > highest for _, name, lr in before if name == "sgd")
    assert first.recipe.optimizer["lr"] == before[0][2]
    assert before[0] not in after


def test_an_enqueued_recipe_is_trained_whatever_its_rate(database):
    recipe = {"optimizer": {"name": "sgd", "lr": 0.9, "momentum": 0.9}}
    search = study_of(database, enqueue=[recipe])
    end(search, "sgd", result_of("sgd"))
    assert ("enqueued", "sgd", 0.9) in queued(search)


def test_a_users_own_portfolio_stays_as_it_is(database):
    own = [{"optimizer": {"name": "sgd", "lr": 0.9, "momentum": 0.9}, "schedule": "cosine"}]
    search = study_of(database, portfolio=own)
    before = queued(search)
    end(search, "sgd", result_of("sgd"))
    assert queued(search) == before


def test_a_portfolio_that_is_trained_already_is_not_enqueued_again(database):
    search = study_of(database)
    while queued(search):
        ask(search)
    end(search, "sgd", result_of("sgd"))
    assert queued(search) == []


def test_copies_are_added_once_where_the_edges_lie_far_off(database):
    low = {"lr": {"low": 1e-6, "high": 0.1, "log": True}}
    search = study_of(database, space={**SPACE, "optimizers": {"adamw": low}})
    end(search, "adamw", result_of("adamw", climbs=1e-4))
    found = queued(search)
    lrs = [lr for _, _, lr in found]
    assert {kind for kind, _, _ in found} == {KIND}
    assert max(lrs) <= 10 * 1e-4
    assert min(lrs) < 1e-5
    with search.database.begin() as connection:
        keep_stable(connection, search.study_id, search.spec, search.steps_per_epoch)
    assert queued(search) == found


def test_an_edge_before_which_nothing_was_learned_moves_nothing():
    spec = StudySpec.from_dict({"name": "a", "task": "a.py:b", "epochs": 4, "budget": {"runs": 5}})
    plateau = judge({"name": "adamw"}, [make_ramp(1e9, 1e-4, noise=0.01)], batch_size=64)
    assert plateau.window is None
    edge = portfolio_edges(spec.space, [plateau.to_dict(), None, {}, {"edge": 3}])["adamw"]
    assert edge.shift == 1
    assert edge.highest == pytest.approx(10 * plateau.edge.median)


def test_runs_are_trained_whole_beside_their_range_test(tmp_path):
    torch.set_num_threads(1)
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        fields = {"confirm": "none", "pruning": "none", "ema": "none", "epochs": 90}
        every = {"validate_every": {"steps": 90 * STEPS_PER_EPOCH}}
        search = study_of(database, budget={"runs": 2}, **fields, **every)
        assert range_plan(search.spec, STEPS_PER_EPOCH).tests
        work(search)
        shown = summarize(search)
        assert [row["state"] for row in trial_rows(search)] == ["complete"] * 2
        assert 0 < shown["epochs"]["range_test"] <= 0.03 * 2 * 90
        total = shown["budget"]["epochs"]["total"]
        assert sum(shown["epochs"].values()) <= total <= 1.03 * 2 * 90
