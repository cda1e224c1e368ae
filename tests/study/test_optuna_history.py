"""What a sampler sees of a study: it draws what it would draw from Optuna's own storage."""

import random
from collections import Counter

import optuna
import pytest
from optuna.trial import TrialState as OptunaState
from optuna.trial import create_trial
from tiny_studies import ask, curve_row, ended, make_study, opened, passes_rung

from lrsearch.storage import studies
from lrsearch.study.assignment import Arrival, Verdict
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna import gate, history
from lrsearch.study.optuna.attributes import CONSTRAINTS
from lrsearch.study.optuna.history import View
from lrsearch.study.optuna.public.history import seen_trial
from lrsearch.study.optuna.sampler import WindowedTPESampler
from lrsearch.study.prepare_database import prepare
from lrsearch.trial.states import TrialState

#: Ends of trials in turn: state, reason, at how many rungs it was seen.
COURSES = [
    (TrialState.COMPLETE, None, 2),
    (TrialState.PRUNED, None, 1),
    (TrialState.COMPLETE, None, 2),
    (TrialState.DIVERGED, "not finite", 0),
    (TrialState.PRUNED, None, 2),
    (TrialState.FAILED, "ValueError: no", 1),
    (TrialState.FAILED, "oom", 0),
]
LR = {"sgd.lr": (0.01, 0.1), "adamw.lr": (0.001, 0.01)}


@pytest.fixture
def sqlite(tmp_path):
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        yield database


def end(search, assignment):
    """End a trial by its number, with values that its recipe decides."""
    state, reason, rungs = COURSES[assignment.number % len(COURSES)]
    loss = assignment.recipe.optimizer["lr"]
    for rung in range(rungs):
        value = loss + 1 / (1 + rung)
        passes_rung(search, assignment, rung=rung, signal=value, value=value, validation=1 + rung)
    outcome = ended(state, reason=reason, progress=assignment.number % 10 / 10)
    assert search.tell(assignment, outcome, [curve_row(1, val_loss=loss)])


def run(search, count):
    """So many trials, every fifth beside the next; their recipes."""
    held, recipes = [], []
    for index in range(count):
        held.append(ask(search))
        recipes.append(held[-1].recipe)
        if index % 5 != 4:
            while held:
                end(search, held.pop(0))
    return recipes


class Stock(OpenStudy):
    """Draws as one would by Optuna alone: from all that its storage has, by its own sampler."""

    def _begin(self, row, batch_size):
        trials = [
            sampled(seen_trial(trial, 0))
            for trial in self.all_trials()
            if trial.number != row.number
        ]
        seed = (self.spec.seed * 1_000_003 + row.ticket) % 2**32
        study = optuna.create_study(
            sampler=WindowedTPESampler(seed=seed, windows=LR),
            direction=self.spec.objective.direction,
        )
        study.add_trials(trials)
        fields = self.spec.space.suggest(study.ask(), batch_size)
        self.drawn.append(self.spec.recipe(fields, batch_size=16))
        return super()._begin(row, batch_size)


def sampled(seen):
    """A trial in the sampler's units as an ordinary one of Optuna's."""
    return create_trial(
        state=seen.state,
        value=seen.value,
        params=seen.params,
        distributions=seen.distributions,
        intermediate_values=seen.intermediate_values,
        system_attrs={CONSTRAINTS: list(seen.constraints.values())},
    )


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_view_gives_the_recipes_that_optunas_own_storage_gives(sqlite, direction):
    """With pruned, diverged, failed and running trials, and windows."""
    changes = {"space": "default", "portfolio": 0, "budget": {"trials": 40}}
    if direction == "maximize":
        changes["objective"] = {"metric": "mae", "direction": "maximize"}
    make_study(sqlite, **changes)
    search = Stock.open(sqlite, "tiny")
    search.drawn, search.windows = [], LR
    search._range_tests_open = False
    assert run(search, 25) == search.drawn


def test_a_recipe_is_drawn_from_the_same_numbers_by_the_public_api(sqlite, monkeypatch):
    """Two studies of one seed, one worker each; one knows nothing of Optuna's private parts."""
    changes = {"space": "default", "budget": {"trials": 40}}
    quick = run(make_study(sqlite, name="quick", **changes), 25)
    monkeypatch.setenv("LRSEARCH_OPTUNA", "public")
    assert run(make_study(sqlite, name="public", **changes), 25) == quick


def look(search, seen=None):
    """A view after a look at the database; a new one, or one that has seen the study before."""
    minimize = search.spec.objective.direction == "minimize"
    reader = gate.history_reader(search.study_id, minimize=minimize, known=search.known)
    seen = seen or View(reader, minimize=minimize)
    with search.database.read() as connection:
        news = seen.read(connection)
    seen.take_in(news)
    return seen


def contents(seen):
    return [vars(trial) for trial in seen.trials(but=0)]


def tell_known(search, values):
    """Give the sampler trials of other studies (None: diverged), as a warm start does."""
    space = {"lr": optuna.distributions.FloatDistribution(0, 1)}
    known = [
        create_trial(
            state=OptunaState.PRUNED if value is None else OptunaState.COMPLETE,
            value=value,
            params={"lr": index / len(values)},
            distributions=space,
            system_attrs={CONSTRAINTS: [0.0 if value is not None else 2.0]},
        )
        for index, value in enumerate(values)
    ]
    with search.database.begin() as connection:
        gate.writer(connection).insert_trials(search.study_id, known)
    origin = {"known": len(values), "extended": None, "warm_start": []}
    with search.database.begin() as connection:
        studies.change(connection, search.study_id, origin=origin)
    search = OpenStudy.open(search.database, search.name)
    assert search.known == len(values)
    return search


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("known", [0, 3, 12])
def test_a_view_that_grew_is_one_that_is_new_and_never_beyond_the_cap(database, monkeypatch, known):
    monkeypatch.setattr(history, "BEST", 3)
    monkeypatch.setattr(history, "LATEST", 5)
    search = make_study(database, portfolio=0, budget={"trials": 40})
    chance = random.Random(known)
    search = tell_known(search, [[0.01, None, 0.5][i % 3] for i in range(known)])
    grown = look(search)
    best = {trial["_number"] for trial in contents(grown) if trial["_values"] == [0.01]}
    assert (best != set()) == (known > 0)
    held = []
    for _ in range(18):
        held.append(ask(search))
        if chance.random() < 0.7:
            end(search, held.pop(chance.randrange(len(held))))
        if chance.random() < 0.7:
            grown = look(search, grown)
            assert contents(grown) == contents(look(search))
            ended_now = [t for t in grown.trials(but=0) if t.state.is_finished()]
            assert len(ended_now) <= 8
    told = optuna.load_study(study_name="tiny", storage=search.study._storage).trials
    complete = sorted((t for t in told if t.state == OptunaState.COMPLETE), key=lambda t: t.value)
    grown = look(search, grown)
    seen = {trial.number - 1: trial for trial in grown.trials(but=0)}
    assert {trial.number for trial in complete[:3]} <= seen.keys()
    running = {trial.number for trial in told if trial.state == OptunaState.RUNNING}
    assert running == {n for n, trial in seen.items() if not trial.state.is_finished()}
    assert running == {assignment.number + known for assignment in held}


@pytest.mark.usefixtures("either_way")
@pytest.mark.both_databases
def test_a_view_holds_of_a_trial_what_optuna_knows_of_it(database):
    search = make_study(database, portfolio=0, budget={"trials": 40})
    run(search, 16)
    told = {trial.number: trial for trial in search.all_trials()}
    seen = look(search).trials(but=0)
    assert {trial.number - 1 for trial in seen} == {
        number for number, trial in told.items() if trial.state != OptunaState.FAIL
    }
    for trial in seen:
        theirs = told[trial.number - 1]
        read = seen_trial(theirs, 0)
        assert (trial.state, trial.params) == (theirs.state, read.params)
        assert trial.distributions == read.distributions
        recipe = theirs.user_attrs["recipe"]
        rounded = search.spec.space.params_of(recipe)
        assert trial.params.keys() == rounded.keys()
        numbers = {k: v for k, v in rounded.items() if isinstance(v, float)}
        assert {k: trial.params[k] for k in numbers} == pytest.approx(numbers, rel=1e-12)
        infeasible = max(theirs.constraints.values(), default=0) > 0
        assert trial.constraints == (theirs.constraints if infeasible else {})
        last = sorted(theirs.intermediate_values.items())[-1:]  # Optuna does not order them
        assert trial.intermediate_values == (
            dict(last) if theirs.state == OptunaState.PRUNED else {}
        )


@pytest.mark.usefixtures("either_way")
def test_a_trial_does_not_see_itself(sqlite):
    search = make_study(sqlite, portfolio=0)
    first, second = ask(search), ask(search)
    seen = look(search)
    assert [trial._trial_id for trial in seen.trials(but=first.trial_id)] == [second.trial_id]


@pytest.mark.usefixtures("either_way")
def test_a_view_holds_the_latest_of_those_that_run(sqlite, monkeypatch):
    monkeypatch.setattr(history, "RUNNING", 4)
    search = make_study(sqlite, portfolio=0, budget={"trials": 40})
    grown, held = look(search), []
    for _ in range(9):
        held.append(ask(search))
        grown = look(search, grown)
        for seen in (grown, look(search)):
            assert [t._trial_id for t in seen.trials(but=0)] == [a.trial_id for a in held[-4:]]
    end(search, held.pop())  # complete: it is seen as one that has ended
    running = [t for t in look(search, grown).trials(but=0) if not t.state.is_finished()]
    assert [t._trial_id for t in running[-3:]] == [a.trial_id for a in held[-3:]]


def test_a_view_that_grew_knows_who_waits_and_who_went_on(sqlite):
    plan = {"pruning": {"rungs": [0.15, 0.4], "rule": "planned"}, "confirm": "none"}
    search = make_study(sqlite, budget={"runs": 10}, portfolio=0, **plan)
    assert search.is_planned
    grown, visits, states = look(search), Counter(), set()
    while (assignment := ask(search)) is not None:
        grown = look(search, grown)
        rung, value = visits[assignment.number], 1.0 + assignment.number % 5
        visits[assignment.number] += 1
        if rung == 2:
            assert search.tell(assignment, ended(TrialState.COMPLETE), [curve_row(4)])
        else:
            shown = {"rung": rung, "validation": (1, 3)[rung], "epochs": (0.5, 1.5)[rung]}
            arrival = Arrival(
                assignment=assignment, signal=value, value=value, seconds=1.0, **shown
            )
            assert search.pass_rungs([arrival]) == [Verdict.WAITS]
        if assignment.number % 3:
            continue
        grown = look(search, grown)
        assert contents(grown) == contents(look(search))
        states |= {trial.state for trial in grown.trials(but=0)}
    assert states == {OptunaState.PRUNED, OptunaState.COMPLETE}
    assert max(visits.values()) == 3
