"""A recipe is trained once; a space whose recipes all have their trial ends the search."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update
from tiny_studies import ask, curve_row, ended, make_study, opened, work

from lrsearch.recipe.fingerprint import fingerprint
from lrsearch.report.load import report_of
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.storage import curves, machine_failures, repeats, studies
from lrsearch.storage.leases import Claim
from lrsearch.storage.tables import queue
from lrsearch.study.draw import Draw, Linked
from lrsearch.study.enqueue import enqueue
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.status import is_finished
from lrsearch.study.trial_start import link
from lrsearch.trial.states import TrialState

SGD = {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
#: Six recipes.
SIX = {
    "optimizers": {"sgd": {**SGD, "lr": [0.01, 0.02, 0.05]}},
    "schedules": {"constant": {}, "linear": {"end_factor": 0.1}},
    "warmup": 0.0,
}
ONE = {"optimizers": {"sgd": {**SGD, "lr": 0.05}}, "schedules": {"constant": {}}, "warmup": 0.0}
#: Two recipes of sgd, and any number of adamw.
MIXED = {
    "optimizers": {"sgd": {**SGD, "lr": {"choices": [0.01, 0.02]}}, "adamw": {}},
    "schedules": {"constant": {}},
    "warmup": 0.0,
}
FIELDS = {"portfolio": 0, "confirm": "none", "pruning": "none"}


def make(database, space, trials=40, **changes):
    return make_study(database, space=space, budget={"trials": trials}, **{**FIELDS, **changes})


def marks(search):
    rows = [row["recipe"] for row in trial_rows(search)]
    return [fingerprint(recipe) for recipe in rows if recipe]


def train(search, assignment, loss=1.0):
    with search.database.begin() as connection:
        curves.add(connection, assignment.claim, [curve_row(1, val_loss=loss)])
    assert search.tell(assignment, ended(TrialState.COMPLETE))


@pytest.mark.parametrize(("space", "count"), [(SIX, 6), (ONE, 1)], ids=["six", "one"])
@pytest.mark.both_databases
def test_each_recipe_of_a_discrete_space_is_trained_once_then_the_study_is_finished(
    database, space, count
):
    search = make(database, space)
    work(search)
    assert len(marks(search)) == len(set(marks(search))) == count
    assert is_finished(search)
    summary = summarize(search)
    assert (summary["state"], summary["reason"]) == ("finished", "exhausted")
    assert summary["budget"] == {"trials": {"total": 40, "used": count}}


def test_a_space_of_as_many_recipes_as_the_budget_is_not_called_exhausted(database):
    search = make(database, SIX, trials=6)
    work(search)
    assert len(set(marks(search))) == 6
    assert (summarize(search)["state"], summarize(search)["reason"]) == ("finished", "budget")


def test_of_a_space_with_a_continuous_part_no_recipe_repeats(database):
    search = make(database, MIXED)
    for _ in range(40):
        assignment = ask(search)
        # The sampler is told that sgd is far better.
        train(search, assignment, 0.1 if assignment.recipe.optimizer_name == "sgd" else 9.0)
    assert len(set(marks(search))) == 40
    assert summarize(search)["reason"] == "budget"


@pytest.mark.both_databases
def test_workers_that_ask_at_once_share_the_recipes(database):
    """Each has its own connections; none of them gets a recipe that another has."""
    make(database, SIX).database.close()
    url = database.location.url.render_as_string(hide_password=False)

    def asked(number):
        with opened(url) as own:
            search, found = OpenStudy.open(own, "tiny"), []
            while (assignment := ask(search, f"host:{number}:1")) is not None:
                found.append(assignment)
            return found

    with ThreadPoolExecutor(4) as threads:
        found = [each for one in threads.map(asked, range(4)) for each in one]
    assert len({fingerprint(each.recipe.to_dict()) for each in found}) == len(found) == 6
    search = OpenStudy.open(database, "tiny")
    assert not is_finished(search)  # they run
    for assignment in found:
        train(search, assignment)
    assert ask(search) is None
    assert is_finished(search)


@pytest.mark.both_databases
def test_of_two_trials_that_record_a_recipe_at_once_one_is_told(database):
    """The second waits for the first one's transaction; a trial of another recipe does not."""
    search = make(database, MIXED)
    first, second, third = claimed(search), claimed(search), claimed(search)
    drawn, other = proposed(search, first), proposed(search, third)
    assert drawn.fingerprint != other.fingerprint

    def recorded(row, what):
        with opened(database.location.url.render_as_string(hide_password=False)) as own:
            return own.run(lambda c: link(c, search, claim_of(row), row.trial_id, what))

    with ThreadPoolExecutor(1) as beside, ThreadPoolExecutor(1) as waiting:
        with database.begin() as connection:
            found = link(connection, search, claim_of(first), first.trial_id, drawn)
            assert found == Linked.DONE
            told = waiting.submit(recorded, second, drawn)
            if not database.is_sqlite:  # there all who write wait
                assert beside.submit(recorded, third, other).result(timeout=30) == Linked.DONE
            with pytest.raises(TimeoutError):
                told.result(timeout=1)
        assert told.result(timeout=30) == Linked.REPEAT
    rows = report_of(search).trials
    assert [row.fingerprint for row in rows[:2]] == [drawn.fingerprint, None]


def claimed(search):
    with search.database.begin() as connection:
        row, _ = search._claim(connection, "host:1:1")
    return row


def claim_of(row):
    return Claim(id=row.id, attempt=row.attempt, worker=row.worker)


def proposed(search, row):
    return next(Draw(search=search, row=row, history=[], batch_size=lambda _: 16).proposals())


def test_a_ticket_that_is_still_drawn_has_a_recipe_kept_for_it(database):
    search = make(database, ONE)
    other = OpenStudy.open(database, "tiny")
    with database.begin() as connection:
        row, _ = search._claim(connection, "host:1:1")
    assert ask(other, "host:2:1") is None
    assert not is_finished(other)
    assert search._begin(row, lambda params: 16) is not None


def test_a_recipe_that_the_user_gives_is_trained_again_in_an_exhausted_study_too(database):
    search = make(database, ONE)
    work(search)
    enqueue(search, trial_rows(search)[0]["recipe"], where="recipe")
    assert not is_finished(search)
    work(search)
    assert [row["state"] for row in trial_rows(search)] == ["complete", "complete"]
    assert len(set(marks(search))) == 1
    assert is_finished(search)


def test_a_given_recipe_is_not_drawn_again(database):
    given = {"optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9}}
    search = make(database, SIX, enqueue=[{**given, "schedule": {"name": "constant"}}])
    work(search)
    assert len(set(marks(search))) == len(marks(search)) == 6


def test_a_trial_that_failed_for_its_machine_leaves_its_recipe_to_be_trained(database):
    search = make(database, ONE)
    assignment = ask(search)
    search.tell(assignment, ended(TrialState.FAILED, reason="OSError: gone"))
    assert ask(search) is None
    assert is_finished(search)
    with database.begin() as connection:
        assert machine_failures.give_back(connection, search.study_id, [assignment.claim.id]) == 1
    assert not is_finished(search)
    again = ask(search)
    assert (again.kind, again.recipe) == ("sampled", assignment.recipe)


@pytest.mark.both_databases
def test_trials_of_an_earlier_version_are_not_repeated(database):
    search = make(database, SIX)
    for _ in range(3):
        train(search, ask(search))
    with database.begin() as connection:
        repeats.mark(connection, {row.id: None for row in report_of(search).trials})
    later = OpenStudy.open(database, "tiny")
    work(later)
    assert len(set(marks(later))) == len(marks(later)) == 6


def test_a_larger_budget_changes_nothing_in_an_exhausted_space(database):
    search = make(database, ONE)
    work(search)
    with database.begin() as connection:
        studies.change(connection, search.study_id, trials_total=80)
    assert is_finished(search)


def test_the_answer_says_that_the_space_is_exhausted(database):
    from lrsearch.report.text import page
    from lrsearch.report.text.answer import study_text

    search = make(database, SIX)
    work(search)
    report = report_of(search)
    said = "every recipe of the space has been tried (6 trials of a budget of 40)"
    assert study_text(report).count(said) == 1
    assert said not in page.status(report)  # the page shows both, and says it once


@pytest.mark.parametrize("recipe", [{"optimizer": {"name": "os.path"}}, {"optimizer": 3}, [1]])
def test_a_refused_trial_stops_no_later_worker(database, recipe):
    """Its row keeps what was no recipe."""
    search = make(database, SIX)
    with database.begin() as connection:
        studies.enqueue(connection, search.study_id, "enqueued", {"any": 1})
        connection.execute(update(queue).values(recipe=recipe))
    train(search, ask(search))
    later = OpenStudy.open(database, "tiny")
    assert ask(later) is not None
    assert [row["state"] for row in trial_rows(later)] == ["failed", "complete", "running"]
